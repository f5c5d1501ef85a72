// What the caller hands over; mirrored by the ctypes structures of kernel.py.

#pragma once

#include "vectors.hpp"

constexpr int MOST_THREADS = 64;

struct Edge {
    std::int32_t sender;
    std::int32_t row;  // of the radial tables
    real t;            // place between two knots, 0 to 1
    real per_A;        // its derivative
    real inverse;      // 1/r
    real x, y, z;      // unit vector towards the sender
};

struct Model {
    std::int64_t layers, elements, tables, intervals, hidden;
    double cutoff, bend;               // knots lie at equal steps of r / (r + bend)
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
    std::int64_t atoms, threads;
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
    Edge* edges;                    // candidates, work: those of atom i begin at first[i]
    std::int64_t* edge_end;         // N, work
    real* B;                        // layers x N x LM x K, work
    real* h;                        // layers x N x K, work
    real* u;                        // layers x N x K, work
    real* dh;                       // N x K, work
    real* du;                       // threads x N x K, work
    double* partial;                // threads x N x 3, work: forces found by each thread
    double* forces;                 // N x 3, out
    double virial[9];               // out
    double energy;                  // out
    double culprit[3];              // atoms and distance of a failure, out
};

// Positions to make a list of, sorted into bins.
struct Bins {
    std::int64_t atoms;
    const double* positions;   // N x 3, inside the cell
    const double* fractional;  // N x 3, from 0 to 1
    double cell[9];            // rows are lattice vectors
    double radius;
    std::int64_t count[3];     // bins along each lattice vector
    std::int64_t range[3];     // how many bins away a candidate may lie
    std::int64_t images[3];    // and how many cells
    std::int64_t* first;       // bins + 1, work
    std::int32_t* bin;         // N, work: bin of each atom
    std::int32_t* order;       // N, work: atoms by bin
    double* sorted;            // N x 3, work: their positions
};

enum { DONE = 0, STALE_LIST = 1, NOT_FINITE = 2, COINCIDENT = 3 };
