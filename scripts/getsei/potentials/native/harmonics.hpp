// Real spherical harmonics and their gradients.

#pragma once

#include "vectors.hpp"

namespace {

// Real spherical harmonics on the unit sphere with sum_m Y_lm^2 = 2l + 1, as homogeneous polynomials.
// T is real, or a number that carries a derivative along.
template <class T>
inline void harmonics(T x, T y, T z, T* Y) {
    Y[0] = T{1};
    const real s3 = real(1.7320508075688772);
    Y[1] = s3 * x;
    Y[2] = s3 * y;
    Y[3] = s3 * z;
#if LMAX >= 2
    const real s15 = real(3.872983346207417), s5 = real(2.23606797749979);
    const T xx = x * x, yy = y * y, zz = z * z;
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

}  // namespace
