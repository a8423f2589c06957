/* dyttrain generate: text that goes on from prompts. A single text is written as it comes, whole characters at a time;
 * several are written in the order of their prompts, each when it is done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cmd/command.h"
#include "cmd/loaded.h"
#include "cmd/prompts.h"
#include "cmd/run_tokenizer.h"
#include "cmd/table.h"
#include "data/words.h"
#include "train/generate.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

typedef struct answer {
    dt_text text; /* what follows the prompt */
    size_t shown; /* bytes of it */
    int64_t tokens;
    bool begun;       /* its prompt is written */
    bool done, ended; /* by the end token */
} answer;

typedef struct generation {
    const dt_prompts *prompts;
    dt_tokenizer *tokenizer;
    dt_tokens *tokens; /* of each prompt */
    answer *answers;
    int64_t next; /* the first whose answer is not written whole */
    bool json, terminal;
    bool left; /* nobody reads the rest */
} generation;

/* --- writing --- */

/* On a terminal control characters could do anything. */
static void write_text(const generation *g, const char *text, size_t bytes)
{
    for (size_t i = 0, length; i < bytes; i += length) {
        uint32_t code;
        length = dt_utf8_next(text + i, bytes - i, &code);
        bool control = code != '\n' && code != '\t' && (code < 0x20 || (code >= 0x7F && code < 0xA0));
        if (g->terminal && control) fputs(replacement, stdout);
        else fwrite(text + i, 1, length, stdout);
    }
}

/* JSON takes UTF-8 alone. */
static json_t *json_of(const char *text, size_t bytes)
{
    dt_text valid = {0};
    for (size_t i = 0, length; i < bytes; i += length) {
        uint32_t code;
        length = dt_utf8_next(text + i, bytes - i, &code);
        if (code == UINT32_MAX) dt_text_add(&valid, "%s", replacement);
        else dt_text_add_bytes(&valid, text + i, length);
    }
    json_t *value = valid.failed ? NULL : json_stringn(valid.length ? valid.data : "", valid.length);
    dt_text_free(&valid);
    return value;
}

static dt_status write_json(const dt_text *prompt, const answer *a)
{
    json_t *object = json_pack("{so so sI ss}", "prompt", json_of(prompt->data, prompt->length),
                               "text", json_of(a->text.data, a->text.length), "tokens", (json_int_t)a->tokens,
                               "stop", a->ended ? "end" : "length");
    if (!object) return dt_fail_memory(a->text.length, "a line of JSON");
    json_dumpf(object, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(object);
    return DT_OK;
}

/* What there is and was not written yet, prompt first, up to its last whole character unless that is all there will
 * be. */
static void write_more(const generation *g, int64_t number)
{
    answer *a = &g->answers[number];
    const dt_text *prompt = &g->prompts->text[number];
    size_t whole = a->done ? a->text.length : dt_text_whole(a->text.data, a->text.length);
    if (!a->begun) write_text(g, prompt->data, prompt->length);
    a->begun = true;
    if (whole > a->shown) write_text(g, a->text.data + a->shown, whole - a->shown);
    a->shown = whole;
    fflush(stdout);
}

static dt_status check_output(generation *g)
{
    if (!ferror(stdout)) return DT_OK;
    g->left = dt_command_reader_left();
    return dt_fail(DT_ERR_IO, "cannot write the text to standard output");
}

static bool streams(const generation *g) { return g->prompts->count == 1 && !g->json; }

static dt_status write_done(generation *g)
{
    for (; g->next < g->prompts->count && g->answers[g->next].done; g->next++) {
        answer *a = &g->answers[g->next];
        if (g->json) {
            DT_TRY(write_json(&g->prompts->text[g->next], a));
        } else {
            if (g->next) printf("\n");
            write_more(g, g->next);
            printf("\n");
        }
        fflush(stdout);
        dt_text_free(&a->text);
    }
    return check_output(g);
}

/* --- what comes --- */

static dt_status take_token(void *context, int64_t text, int32_t token)
{
    generation *g = context;
    answer *a = &g->answers[text];
    size_t bytes;
    const char *of_token = dt_tokenizer_token(g->tokenizer, token, &bytes);
    if (of_token) dt_text_add_bytes(&a->text, of_token, bytes);
    a->tokens++;
    DT_TRY(dt_text_status(&a->text));
    if (streams(g)) write_more(g, text);
    return check_output(g);
}

static dt_status take_end(void *context, int64_t text, bool ended)
{
    generation *g = context;
    g->answers[text].done = true;
    g->answers[text].ended = ended;
    return write_done(g);
}

/* --- prompts to tokens --- */

/* A text without tokens goes on from what stands between texts. */
static dt_status begin_empty(const dt_tokenizer *tokenizer, dt_tokens *out)
{
    int32_t begin = dt_tokenizer_begin(tokenizer), end = dt_tokenizer_end(tokenizer);
    if (out->count || (begin < 0 && end < 0)) return DT_OK;
    DT_TRY(dt_tokens_reserve(out, 1));
    out->token[out->count++] = begin >= 0 ? begin : end;
    return DT_OK;
}

static dt_status encode(generation *g)
{
    dt_encoder *encoder;
    DT_TRY(dt_encoder_create(g->tokenizer, true, &encoder));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < g->prompts->count && !status; i++) {
        const dt_text *prompt = &g->prompts->text[i];
        status = dt_encoder_run(encoder, prompt->length ? prompt->data : "", prompt->length, &g->tokens[i]);
        if (!status) status = begin_empty(g->tokenizer, &g->tokens[i]);
    }
    dt_encoder_free(encoder);
    return status;
}

static dt_status read_prompts(const dt_arguments *args, dt_prompts *out)
{
    const char *one = dt_arguments_value(args, "--prompt"), *file = dt_arguments_value(args, "--prompts");
    if (!one == !file) return dt_fail(DT_ERR_USAGE, "generate takes --prompt TEXT or --prompts FILE, and not both");
    return one ? dt_prompts_add(out, one, strlen(one)) : dt_prompts_read(out, file);
}

/* --- the command --- */

static dt_status generate_loaded(const dt_arguments *args, const dt_loaded *loaded, generation *g)
{
    DT_TRY(dt_run_tokenizer_open(loaded->settings, loaded->weights.checkpoint,
                                 dt_arguments_value(args, "--tokenizer"), &g->tokenizer));
    g->tokens = calloc((size_t)g->prompts->count, sizeof *g->tokens);
    g->answers = calloc((size_t)g->prompts->count, sizeof *g->answers);
    if (!g->tokens || !g->answers) return dt_fail_memory((size_t)g->prompts->count * sizeof *g->answers, "the texts");
    DT_TRY(encode(g));
    dt_generate_options options = dt_generate_read(loaded->settings);
    options.vocabulary = dt_tokenizer_vocabulary(g->tokenizer);
    options.end = dt_tokenizer_end(g->tokenizer);
    options.token = take_token;
    options.done = take_end;
    options.context = g;
    return dt_generate(loaded->session, g->tokens, g->prompts->count, &options);
}

static void free_generation(generation *g)
{
    for (int64_t i = 0; g->tokens && i < g->prompts->count; i++) free(g->tokens[i].token);
    for (int64_t i = 0; g->answers && i < g->prompts->count; i++) dt_text_free(&g->answers[i].text);
    free(g->tokens);
    free(g->answers);
    dt_tokenizer_close(g->tokenizer);
}

static dt_status generate_from(const dt_arguments *args, const dt_prompts *prompts)
{
    dt_loaded loaded;
    generation g = {.prompts = prompts, .json = dt_arguments_has(args, "--json"), .terminal = isatty(STDOUT_FILENO)};
    DT_TRY(dt_loaded_open_texts(args, prompts->count, &loaded));
    dt_status status;
    if (dt_arguments_has(args, "--print-config")) status = dt_table_print(loaded.settings);
    else status = generate_loaded(args, &loaded, &g);
    if (status && g.left) {
        dt_error_clear();
        status = DT_OK;
    }
    free_generation(&g);
    dt_loaded_close(&loaded);
    return status;
}

static dt_status generate(const dt_arguments *args)
{
    dt_prompts prompts = {0};
    dt_status status = read_prompts(args, &prompts);
    if (!status) status = generate_from(args, &prompts);
    dt_prompts_free(&prompts);
    return status;
}

static const dt_option options[] = {
    {"--prompt", "TEXT", "what the text begins with"},
    {"--prompts", "FILE", "many of them: one a line (- for standard input), or in .jsonl the member \"prompt\""},
    {"--tokens", "N", "tokens that follow, at most (256)", .setting = "generate.tokens"},
    {"--temperature", "X", "0: always the most likely token (0.8)", .setting = "generate.temperature"},
    {"--top-k", "N", "draw from the N most likely tokens; 0: all (0)", .setting = "generate.top_k"},
    {"--top-p", "X", "draw from the fewest tokens as probable as X; 1: all (0.95)", .setting = "generate.top_p"},
    {"--repetition-penalty", "X", "over 1: what the text has comes less often (1)",
     .setting = "generate.repetition_penalty"},
    {"--seed", "N", "another seed, another text; the run's when not given", .setting = "seed"},
    {"--batch", "N", "prompts of a file worked on side by side (8)", .setting = "generate.batch"},
    {"--tokenizer", "T", "bytes, a folder or a tokenizer.json; the run's when not given"},
    {"--ema", NULL, "the averaged weights instead of the trained ones"},
    {"--json", NULL, "print a JSON object for each prompt"},
    {0},
};

const dt_command dt_command_generate = {
    .name = "generate",
    .usage = "generate RUN|CHECKPOINT --prompt TEXT|--prompts FILE [path=value ...]",
    .summary = "go on with a text",
    .help = "Writes text that goes on from a prompt, by a language model from a checkpoint or the newest valid one of\n"
            "a run. It stops at the token that ends a text, or after --tokens. The same seed gives the same text.",
    .options = options,
    .settings = true,
    .least_words = 1,
    .most_words = 1,
    .run = generate,
};
