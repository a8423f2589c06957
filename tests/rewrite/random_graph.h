/* Random networks over tokens [B, T, C]: every operator that the passes rewrite, in random order and with shared
 * inputs, ending in a classification loss. A pure function of the seed. */
#ifndef DT_TESTS_RANDOM_GRAPH_H
#define DT_TESTS_RANDOM_GRAPH_H

#include "graph/program.h"

typedef struct random_graph {
    uint64_t seed;
    uint64_t draws;
} random_graph;

dt_tensor *random_graph_build(dt_graph *, void *random_graph);
void random_graph_feed(const dt_program *, char *slot, void *random_graph);

#endif
