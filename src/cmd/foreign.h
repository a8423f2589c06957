/* Printing what a file says of itself. */
#ifndef DT_CMD_FOREIGN_H
#define DT_CMD_FOREIGN_H

/* To standard output, left-aligned in `width` columns, `length` bytes of text (-1: all). Control characters, line
 * breaks too, become '?': a file must not command a terminal, nor add lines of its own. */
void dt_foreign_print(const char *text, int length, int width);

#endif
