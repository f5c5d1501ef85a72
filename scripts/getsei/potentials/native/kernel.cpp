// Energy, forces and virial of a scalar MACE model (see export.py for the equations) on one thread.
//
// Compiled once per model shape with
//   REAL      float or double, the precision of the arithmetic
//   LANES     values of one SIMD vector (4, 8 or 16 floats); divides BLOCK
//   CHANNELS  channels K, padded to a multiple of BLOCK
//   LMAX      highest degree of the spherical harmonics, 1 to 3
// The library keeps no state: every array belongs to the caller. Sums over atoms and forces are double.
//
// Two passes over the edges of each layer. Forward, atom by atom: for each block of channels the (LMAX + 1)^2 sums
// over neighbours stay in registers. Backward, edge by edge: from g = dE/dM of the receiving atom follow the force on
// the edge and, by the chain rule, dE/du of the sending one.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef REAL
#error "compile with -DREAL=... -DLANES=... -DCHANNELS=... -DLMAX=..."
#endif

namespace {

typedef REAL real;
typedef REAL vec __attribute__((vector_size(LANES * sizeof(REAL))));

constexpr int BLOCK = 16;  // channels that lie together in the tables
constexpr int K = CHANNELS;
constexpr int L = LMAX + 1;
constexpr int LM = L * L;
constexpr int W = LANES;
constexpr int VECTORS = K / W;
static_assert(K % BLOCK == 0 && BLOCK % W == 0, "channels must fill the blocks");
static_assert(LMAX >= 1 && LMAX <= 3, "degree out of range");

inline vec load(const real* p) {
    vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(real* p, vec v) { std::memcpy(p, &v, sizeof v); }
inline vec splat(real x) { return vec{} + x; }

// Sum of the lanes by halves; the order of a plain loop would forbid the compiler to do so.
template <int N>
struct Lanes {
    typedef real whole __attribute__((vector_size(N * sizeof(real))));
    typedef real half __attribute__((vector_size(N / 2 * sizeof(real))));
    static real sum(whole v) {
        half low, high;
        std::memcpy(&low, &v, sizeof low);
        std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
        return Lanes<N / 2>::sum(low + high);
    }
};
template <>
struct Lanes<2> {
    typedef real whole __attribute__((vector_size(2 * sizeof(real))));
    static real sum(whole v) { return v[0] + v[1]; }
};
inline real sum(vec v) { return Lanes<W>::sum(v); }

// Call f with each degree as a constant, so that the loops over its components unroll and sums stay in registers.
template <class F>
inline __attribute__((always_inline)) void each_degree(F f) {
    f(std::integral_constant<int, 0>{});
    f(std::integral_constant<int, 1>{});
#if LMAX >= 2
    f(std::integral_constant<int, 2>{});
#endif
#if LMAX >= 3
    f(std::integral_constant<int, 3>{});
#endif
}
#define EACH_ORDER(l, lm) _Pragma("GCC unroll 7") for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm)

struct Edge {
    std::int32_t sender;
    std::int32_t knot;
    real t;           // place between two knots, 0 to 1
    real inverse;     // 1/r
    real x, y, z;     // unit vector towards the sender
    std::int32_t table;
};

// Real spherical harmonics on the unit sphere with sum_m Y_lm^2 = 2l + 1, as homogeneous polynomials.
inline void harmonics(real x, real y, real z, real* Y) {
    Y[0] = 1;
    const real s3 = real(1.7320508075688772);
    Y[1] = s3 * x;
    Y[2] = s3 * y;
    Y[3] = s3 * z;
#if LMAX >= 2
    const real s15 = real(3.872983346207417), s5 = real(2.23606797749979);
    const real xx = x * x, yy = y * y, zz = z * z;
    Y[4] = s15 * x * y;
    Y[5] = s15 * y * z;
    Y[6] = s5 / 2 * (2 * zz - xx - yy);
    Y[7] = s15 * x * z;
    Y[8] = s15 / 2 * (xx - yy);
#endif
#if LMAX >= 3
    const real a = real(2.091650066335189), b = real(10.246950765959598);   // sqrt(35/8), sqrt(105)
    const real c = real(1.6201851746019651), d = real(1.3228756555322954);  // sqrt(21/8), sqrt(7)/2
    Y[9] = a * y * (3 * xx - yy);
    Y[10] = b * x * y * z;
    Y[11] = c * y * (4 * zz - xx - yy);
    Y[12] = d * z * (2 * zz - 3 * xx - 3 * yy);
    Y[13] = c * x * (4 * zz - xx - yy);
    Y[14] = b / 2 * z * (xx - yy);
    Y[15] = a * x * (xx - 3 * yy);
#endif
}

// Sum over lm of G_lm times the gradient of the polynomial Y_lm.
inline void gradient(real x, real y, real z, const vec* G, vec& gx, vec& gy, vec& gz) {
    const real s3 = real(1.7320508075688772);
    gx = G[1] * s3;
    gy = G[2] * s3;
    gz = G[3] * s3;
#if LMAX >= 2
    const real s15 = real(3.872983346207417), s5 = real(2.23606797749979);
    gx += s15 * (G[4] * y + G[7] * z + G[8] * x) - s5 * x * G[6];
    gy += s15 * (G[4] * x + G[5] * z - G[8] * y) - s5 * y * G[6];
    gz += s15 * (G[5] * y + G[7] * x) + 2 * s5 * z * G[6];
#endif
#if LMAX >= 3
    const real a = real(2.091650066335189), b = real(10.246950765959598);
    const real c = real(1.6201851746019651), d = real(1.3228756555322954);
    const real xx = x * x, yy = y * y, zz = z * z;
    gx += G[9] * (6 * a * x * y) + G[10] * (b * y * z) - G[11] * (2 * c * x * y) - G[12] * (6 * d * x * z) +
          G[13] * (c * (4 * zz - 3 * xx - yy)) + G[14] * (b * x * z) + G[15] * (3 * a * (xx - yy));
    gy += G[9] * (3 * a * (xx - yy)) + G[10] * (b * x * z) + G[11] * (c * (4 * zz - xx - 3 * yy)) -
          G[12] * (6 * d * y * z) - G[13] * (2 * c * x * y) - G[14] * (b * y * z) - G[15] * (6 * a * x * y);
    gz += G[10] * (b * x * y) + G[11] * (8 * c * y * z) + G[12] * (d * (6 * zz - 3 * xx - 3 * yy)) +
          G[13] * (8 * c * x * z) + G[14] * (b / 2 * (xx - yy));
#endif
}

// out[m] = in[m] * matrix for M rows, N vectors of columns at a time; matrix is K x K, row major.
template <int M, int N>
inline void multiply(const real* in, const real* matrix, real* out) {
    for (int column = 0; column < K; column += N * W) {
        vec acc[M][N] = {};
        for (int k = 0; k < K; ++k) {
            vec w[N];
            for (int n = 0; n < N; ++n) w[n] = load(matrix + k * K + column + n * W);
            for (int m = 0; m < M; ++m) {
                const vec v = splat(in[m * K + k]);
                for (int n = 0; n < N; ++n) acc[m][n] += v * w[n];
            }
        }
        for (int m = 0; m < M; ++m)
            for (int n = 0; n < N; ++n) store(out + m * K + column + n * W, acc[m][n]);
    }
}
constexpr int PAIR = VECTORS % 2 == 0 ? 2 : 1;
constexpr int QUAD = VECTORS % 4 == 0 ? 4 : PAIR;

// Apply one K x K matrix per degree to the K channels of every component.
inline void multiply_degrees(const real* in, const real* matrices, real* out) {
    multiply<1, QUAD>(in, matrices, out);
    multiply<3, PAIR>(in + K, matrices + K * K, out + K);
#if LMAX >= 2
    multiply<5, PAIR>(in + 4 * K, matrices + 2 * K * K, out + 4 * K);
#endif
#if LMAX >= 3
    multiply<7, 1>(in + 9 * K, matrices + 3 * K * K, out + 9 * K);
#endif
}

// Radial table: for each pair table, interval, block of channels and degree the four coefficients of a cubic.
inline const real* cubic(const real* table, const Edge& e, std::int64_t intervals, int channel) {
    const std::int64_t row = std::int64_t(e.table) * intervals + e.knot;
    return table + ((row * (K / BLOCK) + channel / BLOCK) * L) * 4 * BLOCK + channel % BLOCK;
}

}  // namespace

extern "C" {

struct Model {
    std::int64_t layers, elements, tables, intervals, hidden;
    double cutoff;
    double zbl_weight[4], zbl_exponent[4];
    std::int64_t zbl_power;
    const std::int32_t* pair_table;  // E x E
    const double* zbl;               // E x E x 3
    const double* atom_energy;       // E
    const real* radial;              // layers x tables x intervals x K/BLOCK x L x 4 x BLOCK
    const real* first_source;        // E x K
    const real* first_skip;          // E x K
    const real* up;                  // (layers - 1) x K x K, and transposed
    const real* up_back;
    const real* skip;                // (layers - 1) x E x K x K, and transposed
    const real* skip_back;
    const real* mix;                 // layers x E x L x K x K, and transposed
    const real* mix_back;
    const real* linear;              // layers x E x K
    const real* quadratic;           // layers x E x L x K
    const real* update;              // layers x K x K, and transposed
    const real* update_back;
    const real* readout;             // layers x K
    const real* mlp_in;              // hidden x K
    const real* mlp_out;             // hidden
};

struct System {
    std::int64_t atoms;
    const std::int32_t* element;    // N
    const double* positions;        // N x 3
    const double* reference;        // N x 3: where the list of candidates was made, moved with the cell
    double cell[9], inverse[9];     // rows are lattice vectors; inverse of that matrix
    double reach;                   // displacement from the reference within which the list is complete
    double closest;                 // shorter distances count as coincident atoms
    const std::int64_t* first;      // N + 1: candidates of each atom
    const std::int32_t* candidate;  // atom
    const std::int32_t* image;      // row of `shifts`
    const double* shifts;           // lattice translations of the images
    double* wrapped;                // N x 3, work
    Edge* edges;                    // candidates, work
    std::int64_t* edge_first;       // N + 1, work
    real* B;                        // layers x N x LM x K, work
    real* h;                        // layers x N x K, work
    real* u;                        // layers x N x K, work
    real* dh;                       // N x K, work
    real* du;                       // N x K, work
    double* forces;                 // N x 3, out
    double virial[9];               // out
    double energy;                  // out
    double culprit[3];              // atoms and distance of a failure, out
};

enum { DONE = 0, STALE_LIST = 1, NOT_FINITE = 2, COINCIDENT = 3 };

std::int64_t edge_size() { return sizeof(Edge); }

}  // extern "C"

namespace {

// Bring every atom to the periodic image nearest to its reference and check the displacements.
int place(System& s) {
    const double limit = s.reach * s.reach;
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        double d[3];
        for (int a = 0; a < 3; ++a) d[a] = s.positions[3 * i + a] - s.reference[3 * i + a];
        double square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        if (!std::isfinite(square)) {
            s.culprit[0] = double(i);
            return NOT_FINITE;
        }
        if (square > limit) {
            double n[3];
            for (int a = 0; a < 3; ++a)
                n[a] = std::nearbyint(d[0] * s.inverse[a] + d[1] * s.inverse[3 + a] + d[2] * s.inverse[6 + a]);
            for (int a = 0; a < 3; ++a)
                d[a] -= n[0] * s.cell[a] + n[1] * s.cell[3 + a] + n[2] * s.cell[6 + a];
            square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            if (!(square <= limit)) return STALE_LIST;
        }
        for (int a = 0; a < 3; ++a) s.wrapped[3 * i + a] = s.reference[3 * i + a] + d[a];
    }
    return DONE;
}

// Energy and its derivative of one directed edge of the pair repulsion (ZBL with a polynomial envelope).
double repulsion(const Model& m, const double* pair, double r, double& slope) {
    double phi = 0, dphi = 0;
    for (int n = 0; n < 4; ++n) {
        const double k = m.zbl_exponent[n] / pair[1], e = m.zbl_weight[n] * std::exp(-k * r);
        phi += e;
        dphi -= k * e;
    }
    const double p = double(m.zbl_power), q = r / pair[2], qp = std::pow(q, p - 1);
    const double envelope = 1 - (p + 1) * (p + 2) / 2 * qp * q + p * (p + 2) * qp * q * q -
                            p * (p + 1) / 2 * qp * q * q * q;
    const double denvelope = -p * (p + 1) * (p + 2) / 2 * qp * (1 - q) * (1 - q) / pair[2];
    const double v = pair[0] * phi / r, dv = pair[0] * (dphi - phi / r) / r;
    slope = dv * envelope + v * denvelope;
    return v * envelope;
}

inline void add_force(System& s, std::int64_t i, std::int64_t j, const double* d, const double* f) {
    for (int a = 0; a < 3; ++a) {
        s.forces[3 * i + a] += f[a];
        s.forces[3 * j + a] -= f[a];
        for (int b = 0; b < 3; ++b) s.virial[3 * a + b] -= d[a] * f[b];
    }
}

// Keep the candidates within the cutoff, with their geometry; add the pair repulsion.
int find_edges(const Model& m, System& s) {
    const double cutoff2 = m.cutoff * m.cutoff, closest2 = s.closest * s.closest;
    const double per_A = double(m.intervals) / m.cutoff;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        s.edge_first[i] = count;
        const double* xi = s.wrapped + 3 * i;
        for (std::int64_t c = s.first[i]; c < s.first[i + 1]; ++c) {
            const std::int64_t j = s.candidate[c];
            const double *xj = s.wrapped + 3 * j, *shift = s.shifts + 3 * s.image[c];
            double d[3];
            for (int a = 0; a < 3; ++a) d[a] = xj[a] + shift[a] - xi[a];
            const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            if (r2 >= cutoff2) continue;
            const double r = std::sqrt(r2), inverse = 1 / r;
            if (r2 < closest2) {
                s.culprit[0] = double(i);
                s.culprit[1] = double(j);
                s.culprit[2] = r;
                return COINCIDENT;
            }
            Edge& e = s.edges[count++];
            const double place = r * per_A;
            e.sender = std::int32_t(j);
            e.knot = std::int32_t(place);
            if (e.knot >= m.intervals) e.knot = std::int32_t(m.intervals - 1);
            e.t = real(place - e.knot);
            e.inverse = real(inverse);
            e.x = real(d[0] * inverse);
            e.y = real(d[1] * inverse);
            e.z = real(d[2] * inverse);
            const std::int64_t pair = s.element[i] * m.elements + s.element[j];
            e.table = m.pair_table[pair];
            if (r < m.zbl[3 * pair + 2]) {
                double slope, f[3];
                s.energy += repulsion(m, m.zbl + 3 * pair, r, slope);
                for (int a = 0; a < 3; ++a) f[a] = slope * d[a] * inverse;
                add_force(s, i, j, d, f);
            }
        }
    }
    s.edge_first[s.atoms] = count;
    return DONE;
}

// Sources of the messages of a layer: the element's alone in the first one.
inline const real* source(const Model& m, const System& s, int layer, std::int64_t j) {
    return layer ? s.u + (layer * s.atoms + j) * K : m.first_source + std::int64_t(s.element[j]) * K;
}

// M = sum over the neighbours of atom i.
void gather(const Model& m, const System& s, int layer, std::int64_t i, real* M) {
    const real* table = m.radial + std::int64_t(layer) * m.tables * m.intervals * K * L * 4;
    constexpr int CHUNK = 64;
    real Y[CHUNK][LM];
    const std::int64_t end = s.edge_first[i + 1];
    std::memset(M, 0, sizeof(real) * LM * K);
    for (std::int64_t begin = s.edge_first[i]; begin < end; begin += CHUNK) {
        const int count = int(end - begin < CHUNK ? end - begin : CHUNK);
        const Edge* edges = s.edges + begin;
        for (int n = 0; n < count; ++n) harmonics(edges[n].x, edges[n].y, edges[n].z, Y[n]);
        for (int k = 0; k < K; k += W) {
            vec acc[LM];
            for (int lm = 0; lm < LM; ++lm) acc[lm] = load(M + lm * K + k);
            for (int n = 0; n < count; ++n) {
                const Edge& e = edges[n];
                const real* c = cubic(table, e, m.intervals, k);
                const vec u = load(source(m, s, layer, e.sender) + k), t = splat(e.t);
                each_degree([&](auto l) __attribute__((always_inline)) {
                    const real* a = c + l * 4 * BLOCK;
                    const vec R = ((load(a) * t + load(a + BLOCK)) * t + load(a + 2 * BLOCK)) * t + load(a + 3 * BLOCK);
                    const vec Ru = R * u;
                    EACH_ORDER(l, lm) acc[lm] += Ru * Y[n][lm];
                });
            }
            for (int lm = 0; lm < LM; ++lm) store(M + lm * K + k, acc[lm]);
        }
    }
}

// Forces on the edges of atom i from g = dE/dM_i, and dE/du of their senders.
void scatter(const Model& m, System& s, int layer, std::int64_t i, const real* g) {
    const real* table = m.radial + std::int64_t(layer) * m.tables * m.intervals * K * L * 4;
    const real per_A = real(double(m.intervals) / m.cutoff);
    double fi[3] = {}, virial[9] = {};
    for (std::int64_t n = s.edge_first[i]; n < s.edge_first[i + 1]; ++n) {
        const Edge& e = s.edges[n];
        const real* uj = source(m, s, layer, e.sender);
        real* duj = s.du + std::int64_t(e.sender) * K;
        real Y[LM];
        harmonics(e.x, e.y, e.z, Y);
        vec G[LM] = {}, radial = {};
        const vec t = splat(e.t), t3 = splat(3 * e.t);
        for (int k = 0; k < K; k += W) {
            const real* c = cubic(table, e, m.intervals, k);
            const vec u = load(uj + k);
            vec du = {}, slope = {};
            each_degree([&](auto l) __attribute__((always_inline)) {
                const real* a = c + l * 4 * BLOCK;
                const vec c3 = load(a), c2 = load(a + BLOCK), c1 = load(a + 2 * BLOCK), c0 = load(a + 3 * BLOCK);
                const vec R = ((c3 * t + c2) * t + c1) * t + c0;
                const vec dR = (c3 * t3 + c2 + c2) * t + c1;
                const vec Ru = R * u;
                vec D = {};
                EACH_ORDER(l, lm) {
                    const vec glm = load(g + lm * K + k);
                    D += glm * Y[lm];
                    if (lm) G[lm] += Ru * glm;
                }
                du += R * D;
                slope += dR * D;
            });
            radial += slope * u;
            if (layer) store(duj + k, load(duj + k) + du);
        }
        vec gx, gy, gz;
        gradient(e.x, e.y, e.z, G, gx, gy, gz);
        const real x = sum(gx), y = sum(gy), z = sum(gz), along = x * e.x + y * e.y + z * e.z;
        const real stretch = sum(radial) * per_A;
        const double f[3] = {double(stretch * e.x + (x - along * e.x) * e.inverse),
                             double(stretch * e.y + (y - along * e.y) * e.inverse),
                             double(stretch * e.z + (z - along * e.z) * e.inverse)};
        const double r = 1 / double(e.inverse), d[3] = {r * e.x, r * e.y, r * e.z};
        double* fj = s.forces + 3 * std::int64_t(e.sender);
        for (int a = 0; a < 3; ++a) {
            fi[a] += f[a];
            fj[a] -= f[a];
            for (int b = 0; b < 3; ++b) virial[3 * a + b] -= d[a] * f[b];
        }
    }
    for (int a = 0; a < 3; ++a) s.forces[3 * i + a] += fi[a];
    for (int a = 0; a < 9; ++a) s.virial[a] += virial[a];
}

// Scalars of atom i from its sums over neighbours.
void product(const Model& m, int layer, std::int64_t element, const real* B, real* P) {
    const real* linear = m.linear + (layer * m.elements + element) * K;
    const real* quadratic = m.quadratic + (layer * m.elements + element) * L * K;
    for (int k = 0; k < K; k += W) {
        vec p = load(linear + k) * load(B + k);
        for (int l = 0; l < L; ++l) {
            vec square = {};
            for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) {
                const vec b = load(B + lm * K + k);
                square += b * b;
            }
            p += load(quadratic + l * K + k) * square;
        }
        store(P + k, p);
    }
}

// dE/dB from dE/dP.
void product_back(const Model& m, int layer, std::int64_t element, const real* B, const real* dP, real* dB) {
    const real* linear = m.linear + (layer * m.elements + element) * K;
    const real* quadratic = m.quadratic + (layer * m.elements + element) * L * K;
    for (int k = 0; k < K; k += W) {
        const vec dp = load(dP + k);
        for (int l = 0; l < L; ++l) {
            const vec c = load(quadratic + l * K + k) * dp * splat(2);
            for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) store(dB + lm * K + k, c * load(B + lm * K + k));
        }
        store(dB + k, load(dB + k) + load(linear + k) * dp);
    }
}

inline void add(real* out, const real* in) {
    for (int k = 0; k < K; k += W) store(out + k, load(out + k) + load(in + k));
}

inline real dot(const real* a, const real* b) {
    vec s = {};
    for (int k = 0; k < K; k += W) s += load(a + k) * load(b + k);
    return sum(s);
}

void forward(const Model& m, System& s, int layer) {
    real M[LM * K], P[K], skipped[K];
    const bool first = layer == 0;
    const real* h_before = s.h + std::int64_t(layer - 1) * s.atoms * K;
    if (!first)
        for (std::int64_t i = 0; i < s.atoms; ++i)
            multiply<1, QUAD>(h_before + i * K, m.up + std::int64_t(layer - 1) * K * K,
                              s.u + (layer * s.atoms + i) * K);
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        const std::int64_t element = s.element[i];
        real *B = s.B + (layer * s.atoms + i) * LM * K, *h = s.h + (layer * s.atoms + i) * K;
        gather(m, s, layer, i, M);
        multiply_degrees(M, m.mix + (layer * m.elements + element) * L * K * K, B);
        product(m, layer, element, B, P);
        multiply<1, QUAD>(P, m.update + std::int64_t(layer) * K * K, h);
        if (first) {
            add(h, m.first_skip + element * K);
        } else {
            multiply<1, QUAD>(h_before + i * K, m.skip + ((layer - 1) * m.elements + element) * K * K, skipped);
            add(h, skipped);
        }
        s.energy += double(dot(h, m.readout + layer * K));
    }
}

// Readout of the last layer: adds its energy and writes dE/dh.
void read_out(const Model& m, System& s) {
    const int last = int(m.layers - 1);
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        const real* h = s.h + (last * s.atoms + i) * K;
        real* dh = s.dh + i * K;
        std::memcpy(dh, m.readout + last * K, sizeof(real) * K);
        for (std::int64_t n = 0; n < m.hidden; ++n) {
            const real x = dot(h, m.mlp_in + n * K), sigmoid = 1 / (1 + std::exp(-x));
            s.energy += double(m.mlp_out[n] * x * sigmoid);
            const vec slope = splat(m.mlp_out[n] * sigmoid * (1 + x * (1 - sigmoid)));
            for (int k = 0; k < K; k += W) store(dh + k, load(dh + k) + slope * load(m.mlp_in + n * K + k));
        }
        s.energy += m.atom_energy[s.element[i]];
    }
}

void backward(const Model& m, System& s, int layer) {
    real dP[K], dB[LM * K], g[LM * K], passed[K];
    if (layer) std::memset(s.du, 0, sizeof(real) * s.atoms * K);
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        const std::int64_t element = s.element[i];
        multiply<1, QUAD>(s.dh + i * K, m.update_back + std::int64_t(layer) * K * K, dP);
        product_back(m, layer, element, s.B + (layer * s.atoms + i) * LM * K, dP, dB);
        multiply_degrees(dB, m.mix_back + (layer * m.elements + element) * L * K * K, g);
        scatter(m, s, layer, i, g);
    }
    if (!layer) return;
    for (std::int64_t i = 0; i < s.atoms; ++i) {
        const std::int64_t element = s.element[i];
        multiply<1, QUAD>(s.dh + i * K, m.skip_back + ((layer - 1) * m.elements + element) * K * K, passed);
        multiply<1, QUAD>(s.du + i * K, m.up_back + std::int64_t(layer - 1) * K * K, s.dh + i * K);
        add(s.dh + i * K, passed);
        add(s.dh + i * K, m.readout + (layer - 1) * K);
    }
}

// Treats subnormal numbers as zero for the time of one call: weights that training has let decay to nothing make
// products of 1e-40, and processors compute those a hundred times slower.
class FlushSubnormals {
#ifdef __SSE2__
    const unsigned before = __builtin_ia32_stmxcsr();

   public:
    FlushSubnormals() { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~FlushSubnormals() { __builtin_ia32_ldmxcsr(before); }
#endif
};

}  // namespace

extern "C" int evaluate(const Model* model, System* system) {
    [[maybe_unused]] const FlushSubnormals guard;
    const Model& m = *model;
    System& s = *system;
    s.energy = 0;
    std::memset(s.virial, 0, sizeof s.virial);
    std::memset(s.forces, 0, sizeof(double) * 3 * s.atoms);
    if (const int failure = place(s)) return failure;
    if (const int failure = find_edges(m, s)) return failure;
    for (int layer = 0; layer < m.layers; ++layer) forward(m, s, layer);
    read_out(m, s);
    for (int layer = int(m.layers) - 1; layer >= 0; --layer) backward(m, s, layer);
    return DONE;
}
