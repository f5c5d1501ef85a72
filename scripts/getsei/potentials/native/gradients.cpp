// Messages of one layer and their derivatives, for training; gradients.py has the equations.
//
// Compiled like kernel.cpp. Three passes over the edges: the messages M, with or without their derivative along a
// given motion of the atoms; the forces on the edges; and the derivative by the radial table and the sources.
// Edges are grouped by receiving atom. The library keeps no state: every array belongs to the caller.

#include <cmath>

#include "harmonics.hpp"

namespace {

// A number and its derivative along the motion.
struct Dual {
    real value, rate;
};
inline Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.rate + b.rate}; }
inline Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.rate - b.rate}; }
inline Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.value * b.rate + a.rate * b.value}; }
inline Dual operator*(real a, Dual b) { return {a * b.value, a * b.rate}; }

constexpr int ROWS = 4;  // value and slope at two knots
constexpr int CHUNK = 64;

}  // namespace

// What the caller hands over; mirrored in gradients.py.
struct Graph {
    std::int64_t atoms, intervals;
    double cutoff, bend;           // knots lie at equal steps of r / (r + bend)
    const std::int64_t* first;     // N + 1: edges of each receiving atom
    const std::int32_t* sender;    // edges
    const real* vectors;           // edges x 3
    const real* rates;             // edges x 3: how fast they change; null without motion
    const real* table;             // knots x {value, slope} x L x K
    const real* u;                 // N x K: sources
    const real* du;                // N x K: and their rates
};

namespace {

// One edge: where it falls in the table, and its harmonics.
struct Bond {
    std::int64_t row, sender;
    real per_A, inverse, x, y, z;
    real h[ROWS], slope[ROWS];  // Hermite's basis, and its derivative by the place between two knots
    real rate[ROWS];            // and along the motion
    real Y[LM], dY[LM];
};

template <bool MOVING>
inline Bond bond(const Graph& g, std::int64_t n) {
    Bond b;
    const real* d = g.vectors + 3 * n;
    const real r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    b.sender = g.sender[n];
    b.inverse = 1 / r;
    b.x = d[0] * b.inverse;
    b.y = d[1] * b.inverse;
    b.z = d[2] * b.inverse;
    const double per_x = double(g.intervals) * (g.cutoff + g.bend) / g.cutoff, bent = 1 / (double(r) + g.bend);
    const double place = double(r) * bent * per_x;
    std::int64_t knot = std::int64_t(place);
    if (knot >= g.intervals) knot = g.intervals - 1;
    const real t = real(place - double(knot));
    b.per_A = real(g.bend * bent * bent * per_x);
    b.row = knot * 2 * L * K;
    b.h[0] = 1 + t * t * (2 * t - 3);
    b.h[1] = t * (1 + t * (t - 2));
    b.h[2] = t * t * (3 - 2 * t);
    b.h[3] = t * t * (t - 1);
    b.slope[0] = 6 * t * (t - 1);
    b.slope[1] = 1 + t * (3 * t - 4);
    b.slope[2] = -b.slope[0];
    b.slope[3] = t * (3 * t - 2);
    if constexpr (MOVING) {
        const real* v = g.rates + 3 * n;
        const real along = v[0] * b.x + v[1] * b.y + v[2] * b.z;
        for (int a = 0; a < ROWS; ++a) b.rate[a] = b.slope[a] * b.per_A * along;
        Dual Y[LM];
        harmonics(Dual{b.x, (v[0] - along * b.x) * b.inverse}, Dual{b.y, (v[1] - along * b.y) * b.inverse},
                  Dual{b.z, (v[2] - along * b.z) * b.inverse}, Y);
        for (int lm = 0; lm < LM; ++lm) b.Y[lm] = Y[lm].value, b.dY[lm] = Y[lm].rate;
    } else {
        harmonics(b.x, b.y, b.z, b.Y);
    }
    return b;
}

inline vec mixed(const real* table, const real* weights) {
    vec sum = load(table) * weights[0];
    for (int a = 1; a < ROWS; ++a) sum += load(table + a * L * K) * weights[a];
    return sum;
}

inline void add(real* out, vec v) { store(out, load(out) + v); }

// M of every atom, and its rate.
template <bool MOVING>
void gather(const Graph& g, real* M, real* dM) {
    Bond bonds[CHUNK];
    for (std::int64_t i = 0; i < g.atoms; ++i, M += LM * K, dM += MOVING ? LM * K : 0) {
        std::memset(M, 0, sizeof(real) * LM * K);
        if (MOVING) std::memset(dM, 0, sizeof(real) * LM * K);
        for (std::int64_t begin = g.first[i]; begin < g.first[i + 1]; begin += CHUNK) {
            const std::int64_t left = g.first[i + 1] - begin;
            const int count = int(left < CHUNK ? left : CHUNK);
            for (int n = 0; n < count; ++n) bonds[n] = bond<MOVING>(g, begin + n);
            for (int k = 0; k < K; k += W) {
                vec sum[LM], rate[LM];
                for (int lm = 0; lm < LM; ++lm) sum[lm] = load(M + lm * K + k);
                if (MOVING)
                    for (int lm = 0; lm < LM; ++lm) rate[lm] = load(dM + lm * K + k);
                for (int n = 0; n < count; ++n) {
                    const Bond& b = bonds[n];
                    const real* table = g.table + b.row + k;
                    const vec u = load(g.u + b.sender * K + k);
                    vec du = {};
                    if (MOVING) du = load(g.du + b.sender * K + k);
                    each_degree([&](auto l) __attribute__((always_inline)) {
                        const vec R = mixed(table + l * K, b.h), Ru = R * u;
                        EACH_ORDER(l, lm) sum[lm] += Ru * b.Y[lm];
                        if constexpr (MOVING) {
                            const vec dRu = mixed(table + l * K, b.rate) * u + R * du;
                            EACH_ORDER(l, lm) rate[lm] += dRu * b.Y[lm] + Ru * b.dY[lm];
                        }
                    });
                }
                for (int lm = 0; lm < LM; ++lm) store(M + lm * K + k, sum[lm]);
                if (MOVING)
                    for (int lm = 0; lm < LM; ++lm) store(dM + lm * K + k, rate[lm]);
            }
        }
    }
}

}  // namespace

extern "C" {

void messages(const Graph* g, real* M) { gather<false>(*g, M, nullptr); }

void moving_messages(const Graph* g, real* M, real* dM) { gather<true>(*g, M, dM); }

// From G = dE/dM: dE/d(vector) of every edge; dE/du is added to `Gu`.
void edge_forces(const Graph* graph, const real* G, real* forces, real* Gu) {
    const Graph& g = *graph;
    for (std::int64_t i = 0; i < g.atoms; ++i, G += LM * K)
        for (std::int64_t n = g.first[i]; n < g.first[i + 1]; ++n) {
            const Bond b = bond<false>(g, n);
            vec turn[LM] = {}, stretch = {};
            for (int k = 0; k < K; k += W) {
                const real* table = g.table + b.row + k;
                const vec u = load(g.u + b.sender * K + k);
                vec du = {}, slope = {};
                each_degree([&](auto l) __attribute__((always_inline)) {
                    const vec R = mixed(table + l * K, b.h), Ru = R * u;
                    vec D = {};
                    EACH_ORDER(l, lm) {
                        const vec Glm = load(G + lm * K + k);
                        D += Glm * b.Y[lm];
                        if (lm) turn[lm] += Ru * Glm;
                    }
                    du += R * D;
                    slope += mixed(table + l * K, b.slope) * D;
                });
                stretch += slope * u;
                add(Gu + b.sender * K + k, du);
            }
            vec gx, gy, gz;
            gradient(b.x, b.y, b.z, turn, gx, gy, gz);
            const real x = sum(gx), y = sum(gy), z = sum(gz), along = x * b.x + y * b.y + z * b.z;
            const real radial = sum(stretch) * b.per_A;
            forces[3 * n] = radial * b.x + (x - along * b.x) * b.inverse;
            forces[3 * n + 1] = radial * b.y + (y - along * b.y) * b.inverse;
            forces[3 * n + 2] = radial * b.z + (z - along * b.z) * b.inverse;
        }
}

// From G = dS/dM and H = dS/d(rate of M): dS by the table, the sources and their rates, added to the last three.
void weight_gradients(const Graph* graph, const real* G, const real* H, real* Gtable, real* Gu, real* Hu) {
    const Graph& g = *graph;
    for (std::int64_t i = 0; i < g.atoms; ++i, G += LM * K, H += LM * K)
        for (std::int64_t n = g.first[i]; n < g.first[i + 1]; ++n) {
            const Bond b = bond<true>(g, n);
            for (int k = 0; k < K; k += W) {
                const real* table = g.table + b.row + k;
                real* Gt = Gtable + b.row + k;
                const vec u = load(g.u + b.sender * K + k), du = load(g.du + b.sender * K + k);
                vec gu = {}, hu = {};
                each_degree([&](auto l) __attribute__((always_inline)) {
                    vec D = {}, E = {};  // by R u, and by its rate
                    EACH_ORDER(l, lm) {
                        const vec Glm = load(G + lm * K + k), Hlm = load(H + lm * K + k);
                        D += Glm * b.Y[lm] + Hlm * b.dY[lm];
                        E += Hlm * b.Y[lm];
                    }
                    const vec R = mixed(table + l * K, b.h), dR = mixed(table + l * K, b.rate);
                    gu += R * D + dR * E;
                    hu += R * E;
                    const vec GR = D * u + E * du, HR = E * u;
                    for (int a = 0; a < ROWS; ++a) add(Gt + (a * L + l) * K, GR * b.h[a] + HR * b.rate[a]);
                });
                add(Gu + b.sender * K + k, gu);
                add(Hu + b.sender * K + k, hu);
            }
        }
}

}  // extern "C"
