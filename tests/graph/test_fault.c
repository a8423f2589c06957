/* Every allocation of planning a ViT made to fail in turn: from the settings' model over building, passes and plans to
 * the released session, an error and nothing leaked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "train/train.h"

enum { MOST_UNSEEN = 8 }; /* of opening files of /proc about the machine: the plan goes on without what they say */

static const char *const words[] = {"device=cpu",      "threads=1",        "model.width=8",    "model.depth=2",
                                    "model.heads=2",   "model.patch=4",    "model.dropout=0.1", "model.drop_path=0.1",
                                    "norm.kind=dyt",   "data.kind=synthetic", "data.image=8",  "data.batch=2",
                                    "train.ema=0.9",   "train.recompute=block", "precision.mode=fp64"};

static dt_settings *load(void)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    dt_settings *settings;
    if (dt_settings_load(NULL, words, sizeof words / sizeof *words, tables, 5, &settings))
        fail_msg("%s", dt_error_message());
    return settings;
}

static dt_status plan(dt_settings *settings)
{
    dt_session *session = NULL;
    DT_TRY(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &session));
    dt_session_free(session);
    return DT_OK;
}

/* Fails allocation `n` of planning; returns whether there was one. */
static bool plan_with_fault(int n, dt_status *status)
{
    char fault[32];
    dt_settings *settings = load(); /* anew: planning derives values into them */
    snprintf(fault, sizeof fault, "alloc:%d", n);
    dt_error_clear();
    dt_fault_arm(fault);
    *status = plan(settings);
    bool struck = dt_fault_calls() >= n;
    long leaked = dt_fault_live();
    dt_fault_arm(NULL);
    dt_settings_free(settings);
    if (*status && (*status != DT_ERR_MEMORY || !strstr(dt_error_message(), "out of memory")))
        fail_msg("allocation %d: status %d, '%s'", n, *status, dt_error_message());
    if (leaked > 1) fail_msg("allocation %d: %ld blocks leaked", n, leaked); /* one: the settings' arena may grow */
    return struck;
}

static void every_allocation_of_a_plan_may_fail(void **state)
{
    dt_status status;
    plan_with_fault(1000000, &status); /* what libraries allocate once and keep */
    if (status) fail_msg("%s", dt_error_message());
    int n = 1, unseen = 0;
    for (; plan_with_fault(n, &status); n++) unseen += status == DT_OK;
    assert_int_equal(status, DT_OK);
    assert_true(n > 100);
    assert_true(unseen <= MOST_UNSEEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_of_a_plan_may_fail)};
    return cmocka_run_group_tests_name("graph/fault", tests, NULL, NULL);
}
