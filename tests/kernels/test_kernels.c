/* Every CPU kernel of every instruction set against naive loops: see kernel_case.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernel_case.h"

static void run_case(void **state) { kernel_case_run(*state); }

int main(void)
{
    const kernel_case *lists[] = {dense_cases, norm_cases, class_cases, other_cases, text_cases};
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++)
        for (const kernel_case *c = lists[l]; c->name && count < sizeof tests / sizeof tests[0]; c++)
            tests[count++] = (struct CMUnitTest){.name = c->name, .test_func = run_case, .initial_state = (void *)c};
    return _cmocka_run_group_tests("kernels", tests, count, NULL, NULL);
}
