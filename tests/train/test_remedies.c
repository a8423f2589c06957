/* What a message says that helps where memory runs out: settings that would do something here, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tiny.h"
#include "train/session.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static dt_session *session_of(int ranks, dt_session_options options, const char *const *words)
{
    dt_settings *settings = tiny_settings(words);
    dt_session *s = NULL;
    options.plan_only = true;
    OK(dt_comm_create_planned(ranks, &options.comm));
    OK(dt_session_create(settings, &options, NULL, &s));
    dt_settings_free(settings);
    return s;
}

static void close_session(dt_session *s)
{
    dt_comm *comm = s->comm;
    dt_session_free(s);
    dt_comm_free(comm);
}

static void expect_help(const dt_session *s, dt_memory category, const char *help)
{
    void *memory;
    assert_int_equal(dt_device_alloc(s->device, category, (size_t)1 << 50, &memory), DT_ERR_MEMORY);
    const char *end = strstr(dt_error_message(), "; what helps: ");
    if (!end || strcmp(end + strlen("; what helps: "), help)) fail_msg("%s", dt_error_message());
}

#define SMALLER "a smaller model.width or model.depth"

static void ranks_may_share_more(void **state)
{
    dt_session *s = session_of(2, (dt_session_options){0}, WORDS("parallel.zero=0", "train.ema=0.9"));
    expect_help(s, DT_MEMORY_PARAMETERS, "parallel.zero=3, " SMALLER);
    expect_help(s, DT_MEMORY_GRADIENTS, "parallel.zero=2, " SMALLER);
    expect_help(s, DT_MEMORY_OPTIMIZER, "parallel.zero=1, optim.kind=sgd, " SMALLER);
    expect_help(s, DT_MEMORY_EMA, "parallel.zero=1, train.ema=0");
    close_session(s);
    s = session_of(2, (dt_session_options){0}, WORDS("parallel.zero=2"));
    expect_help(s, DT_MEMORY_PARAMETERS, "parallel.zero=3, " SMALLER);
    expect_help(s, DT_MEMORY_GRADIENTS, SMALLER);
    close_session(s);
    /* there is nobody to share with */
    s = session_of(2, (dt_session_options){0}, WORDS("parallel.zero=1", "parallel.shard_group=1"));
    expect_help(s, DT_MEMORY_OPTIMIZER, "optim.kind=sgd, " SMALLER);
    close_session(s);
    s = session_of(1, (dt_session_options){0}, NULL);
    expect_help(s, DT_MEMORY_GRADIENTS, SMALLER);
    close_session(s);
}

static void fewer_prompts_side_by_side(void **state)
{
    const dt_session_options several = {.eval_only = true, .sequences = 4};
    dt_session *s = session_of(1, several, WORDS("model.arch=llama", "data.kind=synthetic_text", "data.context=16",
                                                 "data.vocabulary=70"));
    expect_help(s, DT_MEMORY_STATE, "a smaller generate.batch");
    expect_help(s, DT_MEMORY_ARENA, "a smaller generate.batch");
    expect_help(s, DT_MEMORY_FEED, "a smaller generate.batch");
    close_session(s);
}

static void attention_without_cudnn(void **state)
{
    dt_session *s = session_of(1, (dt_session_options){0}, WORDS("data.batch=1", "train.recompute=block"));
    s->device_info.cudnn = true;
    dt_session_advise(s);
    expect_help(s, DT_MEMORY_ARENA, "cuda.attention=own, which does without cuDNN's workspace of up to 1 GiB");
    close_session(s);
}

int main(int argc, char **argv)
{
    if (!tiny_begin(argc, argv)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_may_share_more),
        cmocka_unit_test(fewer_prompts_side_by_side),
        cmocka_unit_test(attention_without_cudnn),
    };
    return cmocka_run_group_tests_name("train/remedies", tests, NULL, NULL);
}
