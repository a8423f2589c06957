/* Printing what a file says of itself, control characters masked. */
#include "cmd/foreign.h"

#include <stdio.h>

#include "base/text.h"

void dt_foreign_print(const char *text, int length, int width)
{
    for (int i = 0, control; text[i] && i != length; i += control ? control : 1, width--) {
        control = dt_text_control(text + i);
        putchar(control ? '?' : text[i]);
    }
    printf("%*s", width > 0 ? width : 0, "");
}
