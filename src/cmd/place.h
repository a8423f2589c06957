/* Where in a model a node stands, the same for all blocks: "blocks.3.attn" is "blocks.*.attn". What tables of nodes and
 * tensors sum over. */
#ifndef DT_CMD_PLACE_H
#define DT_CMD_PLACE_H

enum { DT_PLACE_ROOM = 64 };

/* Longer scopes are cut. Returns `out`. */
const char *dt_place_fold(const char *scope, char out[DT_PLACE_ROOM]);

#endif
