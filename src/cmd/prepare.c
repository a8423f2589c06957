/* dyttrain prepare: makes of text what training reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/signal.h"
#include "data/prepare.h"

static const char *const unsound_choices[] = {"stop", "skip", "keep", NULL};

static const dt_option options[] = {
    {"--tokenizer", "T", "bytes, a folder with tokenizer.json or GPT-2's two files, or a tokenizer.json"},
    {"--out", "DIR", "folder for the shards; an interrupted preparation in it goes on"},
    {"--field", "NAME", "of JSON lines, the member that holds the text; default text"},
    {"--json", NULL, "standard input (-) is JSON lines"},
    {"--held-out", "SHARE", "share of the documents (of long ones, of their parts) for evaluation; default 0.005"},
    {"--shard-tokens", "N", "tokens of a shard; default 100000000"},
    {"--compress", NULL, "write shards with zstd"},
    {"--plain-specials", NULL, "names of special tokens in the text, such as <|endoftext|>, are text like any other"},
    {"--unsound", "WHAT", "texts or parts of them that are empty, not UTF-8, with NUL or no JSON: stop (default), skip, keep",
     unsound_choices},
    {"--threads", "N", "threads that encode; default: all processors"},
    {0},
};

static dt_status read_unsound(const dt_arguments *args, dt_unsound *out)
{
    const char *text = dt_arguments_value(args, "--unsound");
    *out = DT_UNSOUND_STOP;
    for (int i = 0; text && unsound_choices[i]; i++)
        if (!strcmp(text, unsound_choices[i])) *out = (dt_unsound)i;
    return DT_OK;
}

static dt_status read_options(const dt_arguments *args, dt_prepare_options *o)
{
    double held_out = 0.005, shard_tokens = 1e8, threads = 0;
    DT_TRY(dt_arguments_number(args, "--held-out", 0, 0.5, &held_out));
    DT_TRY(dt_arguments_whole(args, "--shard-tokens", 1e10, &shard_tokens));
    DT_TRY(dt_arguments_whole(args, "--threads", 1024, &threads));
    const char *field = dt_arguments_value(args, "--field");
    *o = (dt_prepare_options){.tokenizer = dt_arguments_value(args, "--tokenizer"),
                              .out = dt_arguments_value(args, "--out"),
                              .paths = args->words + 1,
                              .path_count = args->word_count - 1,
                              .json_input = dt_arguments_has(args, "--json"),
                              .field = field ? field : "text",
                              .held_out = held_out,
                              .shard_tokens = (int64_t)shard_tokens,
                              .compress = dt_arguments_has(args, "--compress"),
                              .special = !dt_arguments_has(args, "--plain-specials"),
                              .threads = (int)threads};
    if (!o->tokenizer)
        return dt_fail(DT_ERR_USAGE, "--tokenizer is not given: it is bytes, a folder or a tokenizer.json");
    if (!o->out || !*o->out) return dt_fail(DT_ERR_USAGE, "--out is not given: it names the folder for the shards");
    return read_unsound(args, &o->unsound);
}

static void print_counts(const char *out, const dt_prepare_counts *counts)
{
    char text[32];
    printf("%s: %lld documents, %lld tokens of %s in %lld shards", out, (long long)counts->documents,
           (long long)counts->tokens, dt_text_bytes(text, (double)counts->bytes), (long long)counts->shards);
    if (counts->held_out_tokens) printf(", %lld tokens held out", (long long)counts->held_out_tokens);
    if (counts->skipped) printf(", %lld documents or parts of long ones left out", (long long)counts->skipped);
    printf("; train with data.kind=tokens data.path=%s and a model.vocabulary of %lld or more\n", out,
           (long long)counts->vocabulary);
}

static dt_status prepare(const dt_arguments *args)
{
    dt_log *log = NULL;
    dt_prepare_options o;
    dt_prepare_counts counts;
    if (strcmp(args->words[0], "tokens") != 0)
        return dt_fail(DT_ERR_USAGE, "'%s' is nothing that can be prepared: dyttrain prepare tokens ...",
                       args->words[0]);
    if (args->word_count < 2) return dt_fail(DT_ERR_USAGE, "no files are given; - is standard input");
    DT_TRY(read_options(args, &o));
    DT_TRY(dt_arguments_log(args, &log));
    o.log = log;
    o.signal = dt_signal_watch();
    dt_status status = dt_prepare_tokens(&o, &counts);
    if (!status && !counts.tokens)
        status = dt_fail(DT_ERR_DATA, "no text is left of '%s'%s: all documents are empty or not sound, %lld in number",
                         o.paths[0], o.path_count > 1 ? " and the others" : "", (long long)counts.skipped);
    if (!status) print_counts(o.out, &counts);
    dt_log_free(log);
    return status;
}

const dt_command dt_command_prepare = {
    .name = "prepare",
    .usage = "prepare tokens --tokenizer T --out DIR FILES...",
    .summary = "make shards of tokens of text files",
    .help = "FILES are texts (plain, gzip, zstd: each a document), JSON lines (.jsonl, .jsonl.gz, .jsonl.zst: each\n"
            "line a document), folders of such, or - for standard input. What is in DIR is not read. Uses all\n"
            "processors and little memory. Interrupted, the same command goes on. The shards' format, the tokenizers\n"
            "and what is held out are told in docs/text.md.",
    .options = options,
    .least_words = 1,
    .most_words = 1 << 20,
    .run = prepare,
};
