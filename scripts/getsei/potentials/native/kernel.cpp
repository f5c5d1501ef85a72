// Energy, forces and virial of a scalar MACE model; export.py has the equations.
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
// the edge and, by the chain rule, dE/du of the sending one. With several threads each takes a run of atoms, and adds
// what falls on other atoms to arrays of its own.

#include <cmath>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "harmonics.hpp"
#include "layout.hpp"
#include "neighbours.hpp"

namespace {

// The atoms of one thread, and what it finds.
struct Part {
    std::int64_t begin, end;
    double* forces;  // N x 3
    real* du;        // N x K
    double virial[9];
    double energy;
    int status;
    double culprit[3];
};

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

// Keep the candidates within the cutoff, with their geometry; add the pair repulsion.
void find_edges(const Model& m, const System& s, Part& p) {
    const double cutoff2 = m.cutoff * m.cutoff, closest2 = s.closest * s.closest;
    const double intervals = double(m.intervals) * (m.cutoff + m.bend) / m.cutoff;
    for (std::int64_t i = p.begin; i < p.end; ++i) {
        const double* xi = s.wrapped + 3 * i;
        Edge* next = s.edges + s.first[i];
        for (std::int64_t c = s.first[i]; c < s.first[i + 1]; ++c) {
            const std::int64_t j = s.candidate[c];
            const double *xj = s.wrapped + 3 * j, *shift = s.shifts + 3 * s.image[c];
            double d[3];
            for (int a = 0; a < 3; ++a) d[a] = xj[a] + shift[a] - xi[a];
            const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            if (r2 >= cutoff2) continue;
            const double r = std::sqrt(r2), inverse = 1 / r;
            if (r2 < closest2) {
                p.status = COINCIDENT;
                p.culprit[0] = double(i);
                p.culprit[1] = double(j);
                p.culprit[2] = r;
                return;
            }
            Edge& e = *next++;
            const double bent = 1 / (r + m.bend), place = r * bent * intervals;
            std::int32_t knot = std::int32_t(place);
            if (knot >= m.intervals) knot = std::int32_t(m.intervals - 1);
            e.sender = std::int32_t(j);
            e.t = real(place - knot);
            e.per_A = real(m.bend * bent * bent * intervals);
            e.inverse = real(inverse);
            e.x = real(d[0] * inverse);
            e.y = real(d[1] * inverse);
            e.z = real(d[2] * inverse);
            const std::int64_t pair = s.element[i] * m.elements + s.element[j];
            e.row = std::int32_t(m.pair_table[pair] * m.intervals + knot);
            if (r < m.zbl[3 * pair + 2]) {
                double slope;
                p.energy += repulsion(m, m.zbl + 3 * pair, r, slope);
                for (int a = 0; a < 3; ++a) {
                    const double f = slope * d[a] * inverse;
                    p.forces[3 * i + a] += 2 * f;  // the edge from j to i pushes as much
                    for (int b = 0; b < 3; ++b) p.virial[3 * b + a] -= d[b] * f;
                }
            }
        }
        s.edge_end[i] = next - s.edges;
    }
}

// Radial table: for each pair table, interval, block of channels and degree the four coefficients of a cubic.
inline const real* cubic(const real* table, const Edge& e, int channel) {
    return table + ((std::int64_t(e.row) * (K / BLOCK) + channel / BLOCK) * L) * 4 * BLOCK + channel % BLOCK;
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
    const std::int64_t end = s.edge_end[i];
    std::memset(M, 0, sizeof(real) * LM * K);
    for (std::int64_t begin = s.first[i]; begin < end; begin += CHUNK) {
        const int count = int(end - begin < CHUNK ? end - begin : CHUNK);
        const Edge* edges = s.edges + begin;
        for (int n = 0; n < count; ++n) harmonics(edges[n].x, edges[n].y, edges[n].z, Y[n]);
        for (int k = 0; k < K; k += W) {
            vec acc[LM];
            for (int lm = 0; lm < LM; ++lm) acc[lm] = load(M + lm * K + k);
            for (int n = 0; n < count; ++n) {
                const Edge& e = edges[n];
                const real* c = cubic(table, e, k);
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
void scatter(const Model& m, const System& s, Part& p, int layer, std::int64_t i, const real* g) {
    const real* table = m.radial + std::int64_t(layer) * m.tables * m.intervals * K * L * 4;
    double fi[3] = {}, virial[9] = {};
    for (std::int64_t n = s.first[i]; n < s.edge_end[i]; ++n) {
        const Edge& e = s.edges[n];
        const real* uj = source(m, s, layer, e.sender);
        real* duj = p.du + std::int64_t(e.sender) * K;
        real Y[LM];
        harmonics(e.x, e.y, e.z, Y);
        vec G[LM] = {}, radial = {};
        const vec t = splat(e.t), t3 = splat(3 * e.t);
        for (int k = 0; k < K; k += W) {
            const real* c = cubic(table, e, k);
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
        const real stretch = sum(radial) * e.per_A;
        const double f[3] = {double(stretch * e.x + (x - along * e.x) * e.inverse),
                             double(stretch * e.y + (y - along * e.y) * e.inverse),
                             double(stretch * e.z + (z - along * e.z) * e.inverse)};
        const double r = 1 / double(e.inverse), d[3] = {r * e.x, r * e.y, r * e.z};
        double* fj = p.forces + 3 * std::int64_t(e.sender);
        for (int a = 0; a < 3; ++a) {
            fi[a] += f[a];
            fj[a] -= f[a];
            for (int b = 0; b < 3; ++b) virial[3 * a + b] -= d[a] * f[b];
        }
    }
    for (int a = 0; a < 3; ++a) p.forces[3 * i + a] += fi[a];
    for (int a = 0; a < 9; ++a) p.virial[a] += virial[a];
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

// Sources of the messages of a later layer.
void send(const Model& m, const System& s, const Part& p, int layer) {
    const real* h = s.h + std::int64_t(layer - 1) * s.atoms * K;
    for (std::int64_t i = p.begin; i < p.end; ++i)
        multiply<1, QUAD>(h + i * K, m.up + std::int64_t(layer - 1) * K * K, s.u + (layer * s.atoms + i) * K);
}

void forward(const Model& m, const System& s, Part& p, int layer) {
    real M[LM * K], P[K], skipped[K];
    const real* h_before = s.h + std::int64_t(layer - 1) * s.atoms * K;
    for (std::int64_t i = p.begin; i < p.end; ++i) {
        const std::int64_t element = s.element[i];
        real *B = s.B + (layer * s.atoms + i) * LM * K, *h = s.h + (layer * s.atoms + i) * K;
        gather(m, s, layer, i, M);
        multiply_degrees(M, m.mix + (layer * m.elements + element) * L * K * K, B);
        product(m, layer, element, B, P);
        multiply<1, QUAD>(P, m.update + std::int64_t(layer) * K * K, h);
        if (layer) {
            multiply<1, QUAD>(h_before + i * K, m.skip + ((layer - 1) * m.elements + element) * K * K, skipped);
            add(h, skipped);
        } else {
            add(h, m.first_skip + element * K);
        }
        p.energy += double(dot(h, m.readout + layer * K));
    }
}

// Readout of the last layer: adds its energy and writes dE/dh.
void read_out(const Model& m, const System& s, Part& p) {
    const int last = int(m.layers - 1);
    for (std::int64_t i = p.begin; i < p.end; ++i) {
        const real* h = s.h + (last * s.atoms + i) * K;
        real* dh = s.dh + i * K;
        std::memcpy(dh, m.readout + last * K, sizeof(real) * K);
        for (std::int64_t n = 0; n < m.hidden; ++n) {
            const real x = dot(h, m.mlp_in + n * K), sigmoid = 1 / (1 + std::exp(-x));
            p.energy += double(m.mlp_out[n] * x * sigmoid);
            const vec slope = splat(m.mlp_out[n] * sigmoid * (1 + x * (1 - sigmoid)));
            for (int k = 0; k < K; k += W) store(dh + k, load(dh + k) + slope * load(m.mlp_in + n * K + k));
        }
        p.energy += m.atom_energy[s.element[i]];
    }
}

void backward(const Model& m, const System& s, Part& p, int layer) {
    real dP[K], dB[LM * K], g[LM * K];
    if (layer) std::memset(p.du, 0, sizeof(real) * s.atoms * K);
    for (std::int64_t i = p.begin; i < p.end; ++i) {
        const std::int64_t element = s.element[i];
        multiply<1, QUAD>(s.dh + i * K, m.update_back + std::int64_t(layer) * K * K, dP);
        product_back(m, layer, element, s.B + (layer * s.atoms + i) * LM * K, dP, dB);
        multiply_degrees(dB, m.mix_back + (layer * m.elements + element) * L * K * K, g);
        scatter(m, s, p, layer, i, g);
    }
}

// dE/dh of the layer before, once all threads have scattered.
void pass_on(const Model& m, const System& s, const Part& p, int layer, int threads) {
    real passed[K];
    for (std::int64_t i = p.begin; i < p.end; ++i) {
        const std::int64_t element = s.element[i];
        real *du = s.du + i * K, *dh = s.dh + i * K;
        for (int t = 1; t < threads; ++t) add(du, s.du + (t * s.atoms + i) * K);
        multiply<1, QUAD>(dh, m.skip_back + ((layer - 1) * m.elements + element) * K * K, passed);
        multiply<1, QUAD>(du, m.up_back + std::int64_t(layer - 1) * K * K, dh);
        add(dh, passed);
        add(dh, m.readout + (layer - 1) * K);
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

// Where the atoms of thread t begin: all threads get as many candidates, an atom counting as some of them.
std::int64_t boundary(const System& s, int t, int threads) {
    constexpr std::int64_t ATOM = 16;
    const std::int64_t wanted = (s.first[s.atoms] + ATOM * s.atoms) * t / threads;
    std::int64_t low = 0, high = s.atoms;
    while (low < high) {
        const std::int64_t middle = (low + high) / 2;
        if (s.first[middle] + ATOM * middle < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

}  // namespace

#ifdef _OPENMP
#define BARRIER _Pragma("omp barrier")
#else
#define BARRIER
#endif

extern "C" {

std::int64_t edge_size() { return sizeof(Edge); }

int most_threads() {
#ifdef _OPENMP
    return MOST_THREADS;
#else
    return 1;
#endif
}

std::int64_t list_candidates(const Bins* bins, std::int64_t capacity, std::int64_t* first, std::int32_t* candidate,
                             std::int32_t* image) {
    return list(*bins, capacity, first, candidate, image);
}

int evaluate(const Model* model, System* system) {
    const Model& m = *model;
    System& s = *system;
    if (const int failure = place(s)) return failure;
    Part parts[MOST_THREADS];
    int threads = int(s.threads);
    (void)threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) if (threads > 1)
#endif
    {
        [[maybe_unused]] const FlushSubnormals guard;  // a setting of each thread
        int t = 0, team = 1;
#ifdef _OPENMP
        t = omp_get_thread_num();
        team = omp_get_num_threads();
#endif
        Part& p = parts[t];
        p = Part{boundary(s, t, team), boundary(s, t + 1, team), s.partial + 3 * s.atoms * t, s.du + K * s.atoms * t,
                 {}, 0, DONE, {}};
        std::memset(p.forces, 0, sizeof(double) * 3 * s.atoms);
        find_edges(m, s, p);
        BARRIER
        bool failed = false;
        for (int other = 0; other < team; ++other) failed = failed || parts[other].status != DONE;
        if (!failed) {
            for (int layer = 0; layer < m.layers; ++layer) {
                if (layer) {
                    send(m, s, p, layer);
                    BARRIER
                }
                forward(m, s, p, layer);
            }
            read_out(m, s, p);
            for (int layer = int(m.layers) - 1; layer >= 0; --layer) {
                backward(m, s, p, layer);
                BARRIER
                if (!layer) continue;
                pass_on(m, s, p, layer, team);
                BARRIER
            }
            for (std::int64_t n = 3 * p.begin; n < 3 * p.end; ++n) {
                s.forces[n] = 0;
                for (int other = 0; other < team; ++other) s.forces[n] += parts[other].forces[n];
            }
        }
#ifdef _OPENMP
#pragma omp single
#endif
        threads = team;
    }
    s.energy = 0;
    std::memset(s.virial, 0, sizeof s.virial);
    for (int t = 0; t < threads; ++t) {
        if (parts[t].status != DONE) {
            std::memcpy(s.culprit, parts[t].culprit, sizeof s.culprit);
            return parts[t].status;
        }
        s.energy += parts[t].energy;
        for (int a = 0; a < 9; ++a) s.virial[a] += parts[t].virial[a];
    }
    return DONE;
}

}  // extern "C"
