// A neighbour list with a skin: when it is out of date, and how it is made.

#pragma once

#include <cmath>

#include "layout.hpp"

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

// Sort the atoms into bins.
void fill(const Bins& b) {
    const std::int64_t bins = b.count[0] * b.count[1] * b.count[2];
    std::memset(b.first, 0, sizeof(std::int64_t) * (bins + 1));
    for (std::int64_t i = 0; i < b.atoms; ++i) {
        std::int64_t index = 0;
        for (int a = 0; a < 3; ++a) {
            const auto c = std::int64_t(b.fractional[3 * i + a] * double(b.count[a]));
            index = index * b.count[a] + (c < b.count[a] ? c : b.count[a] - 1);
        }
        b.bin[i] = std::int32_t(index);
        ++b.first[index + 1];
    }
    for (std::int64_t n = 0; n < bins; ++n) b.first[n + 1] += b.first[n];
    // Backwards, so that the beginning of each bin ends up where it belongs.
    for (std::int64_t i = b.atoms - 1; i >= 0; --i) b.order[--b.first[b.bin[i] + 1]] = std::int32_t(i);
    for (std::int64_t n = 0; n < bins; ++n) b.first[n] = b.first[n + 1];
    b.first[bins] = b.atoms;
    for (std::int64_t n = 0; n < b.atoms; ++n)
        for (int a = 0; a < 3; ++a) b.sorted[3 * n + a] = b.positions[3 * std::int64_t(b.order[n]) + a];
}

// Split a bin index that may lie outside the cell into a bin inside and a number of cells.
inline std::int64_t wrap(std::int64_t bin, std::int64_t count, std::int64_t& cells) {
    cells = bin >= 0 ? bin / count : -((count - 1 - bin) / count);
    return bin - cells * count;
}

// Number of candidates of all atoms; those beyond `capacity` are counted but not written.
std::int64_t list(const Bins& b, std::int64_t capacity, std::int64_t* first, std::int32_t* candidate, std::int32_t* image) {
    const double radius2 = b.radius * b.radius;
    std::int64_t found = 0;
    fill(b);
    for (std::int64_t i = 0; i < b.atoms; ++i) {
        first[i] = found;
        const double* xi = b.positions + 3 * i;
        const std::int64_t c = b.bin[i] % b.count[2], ab = b.bin[i] / b.count[2];
        const std::int64_t home[3] = {ab / b.count[1], ab % b.count[1], c};
        std::int64_t t[3];
        for (std::int64_t u = -b.range[0]; u <= b.range[0]; ++u)
            for (std::int64_t v = -b.range[1]; v <= b.range[1]; ++v)
                for (std::int64_t w = -b.range[2]; w <= b.range[2]; ++w) {
                    const std::int64_t p = wrap(home[0] + u, b.count[0], t[0]), q = wrap(home[1] + v, b.count[1], t[1]);
                    const std::int64_t bin = (p * b.count[1] + q) * b.count[2] + wrap(home[2] + w, b.count[2], t[2]);
                    double from[3];
                    for (int a = 0; a < 3; ++a)
                        from[a] = double(t[0]) * b.cell[a] + double(t[1]) * b.cell[3 + a] + double(t[2]) * b.cell[6 + a] - xi[a];
                    const bool itself = t[0] == 0 && t[1] == 0 && t[2] == 0;
                    const std::int64_t row = ((t[0] + b.images[0]) * (2 * b.images[1] + 1) + t[1] + b.images[1]) *
                                                 (2 * b.images[2] + 1) + t[2] + b.images[2];
                    for (std::int64_t n = b.first[bin]; n < b.first[bin + 1]; ++n) {
                        const double* xj = b.sorted + 3 * n;
                        const double x = xj[0] + from[0], y = xj[1] + from[1], z = xj[2] + from[2];
                        if (x * x + y * y + z * z >= radius2 || (itself && b.order[n] == i)) continue;
                        if (found < capacity) {
                            candidate[found] = b.order[n];
                            image[found] = std::int32_t(row);
                        }
                        ++found;
                    }
                }
    }
    first[b.atoms] = found;
    return found;
}

}  // namespace
