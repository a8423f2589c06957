/* What kernels refuse, for those who plan: asked before anything runs, in the words of the settings. */
#ifndef DT_KERNELS_LIMITS_H
#define DT_KERNELS_LIMITS_H

enum { DT_CUDA_HEAD_MOST = 256 }; /* channels of an attention head: MOST_SIZE of attention_plain.cu and
                                     attention_cached.cu, which refuse more */

#endif
