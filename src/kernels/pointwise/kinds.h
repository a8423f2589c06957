/* The point-wise norms f(u), u = alpha x + shift: the one table that names them. Each kind is one header of this
 * folder that defines f and f' for CPU and CUDA alike; a new kind is a header plus a line here. */
#ifndef DT_KERNELS_POINTWISE_KINDS_H
#define DT_KERNELS_POINTWISE_KINDS_H

/* X(name, has a learnable shift, FLOPs of f and f' per element) */
#define DT_POINTWISE_KINDS(X) \
    X(dyt, 0, 12)             \
    X(hardtanh, 0, 2)         \
    X(sigmoid, 0, 10)         \
    X(identity, 0, 1)         \
    X(derf, 1, 16)            \
    X(isru, 0, 6)

typedef enum dt_pointwise {
#define X(name, shift, flops) DT_POINTWISE_##name,
    DT_POINTWISE_KINDS(X)
#undef X
    DT_POINTWISE_COUNT
} dt_pointwise;

#endif
