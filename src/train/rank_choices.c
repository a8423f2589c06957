/* Holds programs and kernels of ranks against each other, and hands algorithms from the first rank to the others. */
#include "train/rank_choices.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "train/ranks.h"

/* --- agreement --- */

/* By its text and its memory. */
static dt_status agree_program(dt_world *world, const dt_program *program)
{
    char name[48];
    dt_text text = {0};
    dt_text_add(&text, "%lld\n", (long long)dt_program_arena_bytes(program));
    dt_graph_print(dt_program_graph(program), &text);
    dt_status status = dt_text_status(&text);
    snprintf(name, sizeof name, "program '%s'", dt_program_name(program));
    if (!status) status = dt_world_agree(world, name, dt_hash_text(text.data), NULL);
    dt_text_free(&text);
    return status;
}

/* What an entry of the numerics record says, as an entry of rank 0's does. */
static dt_status agree_numerics(dt_world *world, const json_t *numerics)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)numerics, key, value)
        if (json_is_string(value))
            DT_TRY(dt_world_agree(world, key, dt_hash_text(json_string_value(value)), json_string_value(value)));
    return DT_OK;
}

dt_status dt_session_agree(const dt_session *s)
{
    dt_world *world = s->options.world;
    if (dt_ranks_alone(world)) return DT_OK;
    json_t *numerics = dt_session_numerics(s);
    dt_status status = numerics ? DT_OK : dt_fail_memory(sizeof *numerics, "the numerics record");
    status = dt_ranks_join(world, "the numerics record", status);
    if (!status) status = agree_numerics(world, numerics);
    for (int id = 0; id < DT_PROGRAMS && !status; id++)
        if (s->program[id]) status = agree_program(world, s->program[id]);
    json_decref(numerics);
    return status;
}

/* --- choices --- */

/* Not what waits for other ranks, nor what adds to states. */
static bool is_own_work(const dt_node *n) { return n->stream == DT_STREAM_COMPUTE && !(n->op->flags & DT_OP_EFFECT); }

/* Products that add to gradients are other work than those that do not. */
static dt_status choose(dt_session *s)
{
    DT_TRY(dt_session_load_step(s)); /* into the first slot for pass, the second for eval */
    for (int more = 0; more <= (s->recipe.accumulate > 1); more++)
        DT_TRY(dt_program_queue_some(s->program[DT_PROGRAM_PASS],
                                     &(dt_run){s->slot[0], .accumulate = more, .last = true}, is_own_work));
    DT_TRY(dt_program_queue_some(s->program[DT_PROGRAM_EVAL], &(dt_run){s->slot[1], .last = true}, is_own_work));
    return dt_device_sync(s->device, DT_STREAM_COMPUTE);
}

static dt_status print_choices(const dt_session *s, char **text)
{
    json_t *record = dt_choices_record(dt_device_choices(s->device));
    *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    return *text ? DT_OK : dt_fail_memory(1024, "the choices of algorithms");
}

static dt_status take_choices(dt_session *s, const char *text)
{
    json_t *record;
    DT_TRY(dt_json_parse(text, strlen(text), "the choices of rank 0", &record));
    dt_status status = dt_choices_recall(dt_device_choices(s->device), record);
    json_decref(record);
    return status;
}

dt_status dt_session_share_choices(dt_session *s)
{
    dt_world *world = s->options.world;
    dt_status status = DT_OK;
    char *text = NULL;
    if (dt_ranks_alone(world) || s->backend != DT_CUDA) return DT_OK;
    if (dt_ranks_leads(world)) {
        status = choose(s);
        if (!status) status = print_choices(s, &text);
    }
    status = dt_ranks_join(world, "choosing algorithms", status);
    if (!status) status = dt_ranks_share_text(world, "the choices of algorithms", &text);
    if (!status && !dt_ranks_leads(world)) status = take_choices(s, text);
    free(text);
    return status;
}
