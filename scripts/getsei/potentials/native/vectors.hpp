// SIMD vectors of channels, and products of channels with matrices.

#pragma once

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
#define EACH_ORDER(l, lm) for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm)

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

}  // namespace
