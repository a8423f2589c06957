/* The binary files of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte
 * (CIFAR-100: coarse, then fine label) and 3072 bytes of a 3x32x32 image, nothing else. */
#ifndef DT_DATA_CIFAR_H
#define DT_DATA_CIFAR_H

#include "data/dataset.h"

/* Appends the records of a file to the data set's images, labels and count; info.classes, 10 or 100, is the format. */
DT_MUST_USE dt_status dt_cifar_append(dt_dataset *, const char *path);

#endif
