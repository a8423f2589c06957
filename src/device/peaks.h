/* What GPUs can compute at most, by name: the denominator of model FLOPs utilisation. */
#ifndef DT_DEVICE_PEAKS_H
#define DT_DEVICE_PEAKS_H

typedef enum dt_peak { DT_PEAK_F32, DT_PEAK_TF32, DT_PEAK_BF16, DT_PEAKS } dt_peak;

/* FLOP/s of dense matrix products at boost clock, by the maker's data sheets; NAN for a GPU that is not in the table.
 * `gpu` is dt_device_info.name. */
double dt_peak_flops(const char *gpu, dt_peak);

#endif
