/* How plans are looked for among cuDNN's offers, with functions of our own in the place of the library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/cuda/cudnn_graph.h"

enum { MODES = 2, ROOM = 64, LIMIT = 1000 };

/* A descriptor is the address of its type here, and what is asked of the library is answered from this. */
static struct library {
    cudnnBackendDescriptorType_t made[ROOM];
    int made_count, searches, plans;
    bool search_fails[MODES];
    int64_t offers[MODES];
    int64_t workspace; /* that plans need */
    int good;          /* number of the plan that is not refused, the first being 1 */
} library;

static cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    assert_true(library.made_count < ROOM);
    library.made[library.made_count] = type;
    *out = &library.made[library.made_count++];
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    assert_non_null(d);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t finish(cudnnBackendDescriptor_t d)
{
    cudnnBackendDescriptorType_t type = *(const cudnnBackendDescriptorType_t *)d;
    bool refused = false;
    if (type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) refused = library.search_fails[library.searches++];
    if (type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) refused = ++library.plans != library.good;
    return refused ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

/* `count` may be more than was asked for, which is all that `values` has room for. */
static cudnnStatus_t get(const cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t most, int64_t *count, void *values)
{
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
        *count = library.offers[library.searches - 1];
    } else {
        assert_int_equal(name, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
        *(int64_t *)values = library.workspace;
        *count = 1;
    }
    return CUDNN_STATUS_SUCCESS;
}

static bool find_plan(dt_cudnn_plan *plan)
{
    const dt_cudnn c = {.BackendCreateDescriptor = create,
                        .BackendSetAttribute = set,
                        .BackendFinalize = finish,
                        .BackendGetAttribute = get};
    dt_cudnn_graph g = {.c = &c, .plan = plan};
    *plan = (dt_cudnn_plan){0};
    bool found = dt_cudnn_plan_graph(&g, LIMIT);
    assert_int_equal(found, plan->plan != NULL);
    return found;
}

static void offers_that_were_not_given_are_not_taken(void **state)
{
    dt_cudnn_plan plan;
    library = (struct library){.offers = {9, 1}, .good = 5};
    assert_true(find_plan(&plan));
    assert_int_equal(library.searches, 2);
    assert_int_equal(library.plans, 5); /* four of the nine, and the one of the second search */
}

static void behind_a_search_that_fails_comes_the_next(void **state)
{
    dt_cudnn_plan plan;
    library = (struct library){.search_fails = {true}, .offers = {0, 2}, .good = 2};
    assert_true(find_plan(&plan));
    assert_int_equal(library.plans, 2);
    library = (struct library){.search_fails = {true, true}};
    assert_false(find_plan(&plan));
    assert_int_equal(library.plans, 0);
}

static void a_plan_must_fit_its_workspace(void **state)
{
    dt_cudnn_plan plan;
    library = (struct library){.offers = {1, 0}, .good = 1, .workspace = LIMIT};
    assert_true(find_plan(&plan));
    library = (struct library){.offers = {1, 0}, .good = 1, .workspace = LIMIT + 1};
    assert_false(find_plan(&plan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_that_were_not_given_are_not_taken),
        cmocka_unit_test(behind_a_search_that_fails_comes_the_next),
        cmocka_unit_test(a_plan_must_fit_its_workspace),
    };
    return cmocka_run_group_tests_name("device/cudnn_graph", tests, NULL, NULL);
}
