/* The rounds of a preparation. */
#include "data/prepare.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/threads.h"
#include "data/prepare_state.h"
#include "data/words.h"

enum { PIECES_PER_THREAD = 4, GROUPS_PER_PIECE = 4, SPLITS = 2, TRAIN = 0, HELD_OUT = 1 };
enum { MOST_TOKENS_KEPT = 2 * DT_PIECE_BYTES }; /* room that a group keeps from round to round */
static const double REPORT_SECONDS = 10, REDRAW_SECONDS = 0.2;

/* A group of pieces that one task encodes. */
typedef struct group {
    int64_t first, end;
    dt_tokens tokens;
    dt_status status;
    char message[DT_MESSAGE_ROOM];
} group;

/* What became of a piece. */
typedef struct result {
    int64_t first, count; /* tokens of its group */
    int64_t bytes;
    bool skipped;
} result;

typedef struct round {
    dt_pieces pieces;
    dt_corpus_place end;
} round;

typedef struct preparation {
    const dt_prepare_options *options;
    dt_tokenizer *tokenizer;
    dt_corpus *corpus;
    dt_lock *lock;
    dt_pool *pool;
    dt_encoder **encoder; /* one for each thread */
    dt_text *scratch;     /* the same */
    int threads;
    round rounds[2], *now, *next;
    group *group; /* of the round `now`: most_groups() of them, of which `groups` are used */
    int64_t groups;
    result *result; /* of its pieces */
    int64_t result_room;
    dt_status read_status;
    char read_message[DT_MESSAGE_ROOM];
    dt_shard_writer *writer[SPLITS];
    dt_prepare_state state;
    dt_corpus_place written; /* how far what was written goes */
    double started, reported, redrawn;
    int64_t started_bytes;
} preparation;

/* --- encoding --- */

static dt_status check_text(const char *text, size_t bytes)
{
    if (!bytes) return dt_fail(DT_ERR_DATA, "it is empty");
    const char *nul = memchr(text, 0, bytes);
    if (nul) return dt_fail(DT_ERR_DATA, "byte %zu is NUL, which is no text", (size_t)(nul - text));
    for (size_t at = 0; at < bytes;) {
        uint32_t code;
        if ((uint8_t)text[at] < 0x80) {
            at++;
            continue;
        }
        size_t length = dt_utf8_next(text + at, bytes - at, &code);
        if (code == UINT32_MAX)
            return dt_fail(DT_ERR_DATA, "byte %zu is not valid UTF-8 (0x%02X)", at, (unsigned)(uint8_t)text[at]);
        at += length;
    }
    return DT_OK;
}

/* "'file': ", "'file', line 7: ", "'file', from byte 1048576 on: " before the message. `keeps`: there are bytes that
 * could be taken as they are. */
static dt_status fail_piece(const preparation *p, const dt_piece *piece, bool keeps, dt_status status)
{
    const char *path = dt_corpus_file(p->corpus, piece->place.file);
    const char *remedy = keeps ? "--unsound=skip leaves such texts out, --unsound=keep takes their bytes as they are"
                               : "--unsound=skip leaves such texts out";
    if (piece->json && piece->bytes)
        return dt_fail(status, "'%s', line %lld: %s; %s", path, (long long)piece->place.line + 1, dt_error_message(),
                       remedy);
    if (piece->place.offset)
        return dt_fail(status, "'%s', from byte %lld on: %s; %s", path, (long long)piece->place.offset,
                       dt_error_message(), remedy);
    return dt_fail(status, "'%s': %s; %s", path, dt_error_message(), remedy);
}

/* The text of a piece: itself, or what its line of JSON holds. */
static dt_status read_text(const preparation *p, const dt_piece *piece, const char *raw, dt_text *scratch,
                           const char **text, size_t *bytes)
{
    *text = raw;
    *bytes = piece->bytes;
    if (!piece->json || !piece->bytes) return DT_OK;
    scratch->length = 0;
    DT_TRY(dt_json_line_text(raw, piece->bytes, p->options->field, scratch));
    *text = scratch->data ? scratch->data : "";
    *bytes = scratch->length;
    return DT_OK;
}

/* Is the text one to encode? An empty one in JSON is no error, nor is an empty end of a long text, which preparations
 * begun by earlier programs may come to. */
static dt_status judge(const preparation *p, const dt_piece *piece, const char *text, size_t bytes, bool *sound)
{
    bool nothing = !bytes && ((piece->json && piece->bytes) || piece->place.part);
    *sound = bytes || piece->place.part;
    if (nothing || (bytes && p->options->unsound == DT_UNSOUND_KEEP)) return DT_OK;
    return check_text(text, bytes);
}

static dt_status take_text(const preparation *p, const dt_piece *piece, const char *raw, dt_text *scratch,
                           const char **text, size_t *bytes, bool *sound)
{
    dt_status status = read_text(p, piece, raw, scratch, text, bytes);
    bool keeps = !status && *bytes;
    if (!status) status = judge(p, piece, *text, *bytes, sound);
    if (status != DT_ERR_DATA) return status;
    *sound = false;
    return p->options->unsound == DT_UNSOUND_STOP ? fail_piece(p, piece, keeps, status) : DT_OK;
}

static dt_status encode_piece(preparation *p, const dt_piece *piece, int worker, dt_tokens *out, result *r)
{
    const char *text;
    size_t bytes;
    bool sound;
    *r = (result){.first = out->count};
    DT_TRY(take_text(p, piece, p->now->pieces.text.data + piece->at, &p->scratch[worker], &text, &bytes, &sound));
    r->skipped = !sound;
    if (sound) {
        DT_TRY(dt_encoder_part(p->encoder[worker], text, bytes, piece->place.part == 0, out));
        r->bytes = (int64_t)bytes;
    }
    r->count = out->count - r->first;
    return DT_OK;
}

static void encode_group(preparation *p, group *g, int worker)
{
    g->tokens.count = 0;
    g->status = DT_OK;
    for (int64_t i = g->first; i < g->end && !g->status; i++)
        g->status = encode_piece(p, &p->now->pieces.piece[i], worker, &g->tokens, &p->result[i]);
    if (g->status) snprintf(g->message, DT_MESSAGE_ROOM, "%s", dt_error_message());
}

/* --- a round --- */

/* All but the one with the last piece have a GROUPS_PER_PIECE-th of a long piece or more. */
static int64_t most_groups(const preparation *p) { return (int64_t)p->threads * PIECES_PER_THREAD * GROUPS_PER_PIECE; }

static size_t round_bytes(const preparation *p) { return (size_t)p->threads * PIECES_PER_THREAD * DT_PIECE_BYTES; }

static void read_next(preparation *p)
{
    p->read_status = dt_corpus_read(p->corpus, round_bytes(p), &p->next->pieces);
    p->next->end = dt_corpus_tell(p->corpus);
    if (p->read_status) snprintf(p->read_message, DT_MESSAGE_ROOM, "%s", dt_error_message());
}

/* Task 0 reads ahead, the others encode. */
static void run_task(void *arg, int64_t task, int worker)
{
    preparation *p = arg;
    if (task == 0) read_next(p);
    else encode_group(p, &p->group[task - 1], worker);
}

static dt_status grow_results(preparation *p)
{
    int64_t room = p->now->pieces.room;
    if (room <= p->result_room) return DT_OK;
    free(p->result);
    p->result_room = 0;
    p->result = malloc((size_t)room * sizeof *p->result);
    if (!p->result) return dt_fail_memory((size_t)room * sizeof *p->result, "a round of documents");
    p->result_room = room;
    return DT_OK;
}

/* Pieces in groups of about a quarter of a long piece, so that threads share them evenly. */
static void make_groups(preparation *p)
{
    const dt_pieces *pieces = &p->now->pieces;
    int64_t first = 0;
    size_t bytes = 0;
    p->groups = 0;
    for (int64_t i = 0; i < pieces->count; i++) {
        bytes += pieces->piece[i].bytes + sizeof pieces->piece[i]; /* as dt_corpus_read counts */
        if (bytes < DT_PIECE_BYTES / GROUPS_PER_PIECE && i + 1 < pieces->count) continue;
        p->group[p->groups].first = first;
        p->group[p->groups++].end = i + 1;
        first = i + 1;
        bytes = 0;
    }
}

/* --- writing --- */

static dt_status open_writer(preparation *p, int split)
{
    dt_text path = {0};
    dt_shard_options options = {dt_tokenizer_hash(p->tokenizer), dt_tokenizer_vocabulary(p->tokenizer),
                                p->options->compress};
    dt_status status = dt_prepare_shard_path(p->options->out, split, p->state.shards[split], &path);
    if (!status) status = dt_shard_writer_create(path.data, &options, &p->writer[split]);
    dt_text_free(&path);
    return status;
}

/* No shard is ever there without a prepare.json: a state of nothing stands there before the first has its name. */
static dt_status begin(preparation *p)
{
    const dt_prepare_state nothing = {.source = p->state.source};
    if (p->state.begun) return DT_OK;
    p->state.begun = true;
    return dt_prepare_state_write(p->options->out, &nothing);
}

/* Ends the open shards, and notes how far the corpus is in them. */
static dt_status save(preparation *p, bool done)
{
    DT_TRY(begin(p));
    for (int split = 0; split < SPLITS; split++) {
        if (!p->writer[split]) continue;
        DT_TRY(dt_shard_writer_finish(p->writer[split]));
        dt_shard_writer_free(p->writer[split]);
        p->writer[split] = NULL;
        p->state.shards[split]++;
        p->state.counts.shards++;
    }
    p->state.place = p->written;
    p->state.done = done;
    return dt_prepare_state_write(p->options->out, &p->state);
}

/* Drawn by document and part alone. */
static int split_of(const preparation *p, const dt_piece *piece)
{
    uint64_t document = (uint64_t)piece->place.document, part = (uint64_t)piece->place.part;
    double drawn = dt_random_uniform(0, DT_PURPOSE_ORDER, document, part, 0);
    return drawn < p->options->held_out ? HELD_OUT : TRAIN;
}

/* Where a part is missing from the training split: what follows does not go on from what is in front. */
static dt_status end_training_text(preparation *p)
{
    return p->writer[TRAIN] ? dt_shard_writer_end(p->writer[TRAIN]) : DT_OK;
}

static dt_status write_piece(preparation *p, const dt_piece *piece, const result *r, const int32_t *tokens)
{
    dt_prepare_counts *counts = &p->state.counts;
    int split = split_of(p, piece);
    int32_t end = dt_tokenizer_end(p->tokenizer);
    bool ends = piece->ends && !r->skipped && (r->count || piece->place.part);
    counts->skipped += r->skipped;
    if (r->skipped) return end_training_text(p);
    if (!r->count && !ends) return DT_OK;
    if (!p->writer[split]) DT_TRY(open_writer(p, split));
    DT_TRY(dt_shard_writer_add(p->writer[split], tokens, r->count, r->bytes));
    if (ends && end >= 0) DT_TRY(dt_shard_writer_add(p->writer[split], &end, 1, 0));
    if (ends || split == HELD_OUT) DT_TRY(dt_shard_writer_end(p->writer[split]));
    if (split == HELD_OUT) DT_TRY(end_training_text(p));
    int64_t written = r->count + (ends && end >= 0);
    counts->documents += ends;
    counts->tokens += written;
    counts->bytes += r->bytes;
    if (split == HELD_OUT) counts->held_out_tokens += written;
    return DT_OK;
}

static bool is_full(const preparation *p)
{
    return p->writer[TRAIN] && dt_shard_writer_tokens(p->writer[TRAIN]) >= p->options->shard_tokens;
}

static dt_status write_round(preparation *p)
{
    const round *r = p->now;
    for (int64_t g = 0; g < p->groups; g++) {
        group *part = &p->group[g];
        if (part->status) return dt_fail(part->status, "%s", part->message);
        for (int64_t i = part->first; i < part->end; i++) {
            DT_TRY(write_piece(p, &r->pieces.piece[i], &p->result[i], part->tokens.token + p->result[i].first));
            if (!is_full(p)) continue;
            p->written = i + 1 < r->pieces.count ? r->pieces.piece[i + 1].place : r->end;
            DT_TRY(save(p, false));
        }
        if (part->tokens.room <= MOST_TOKENS_KEPT) continue;
        free(part->tokens.token); /* of a long line: not one for each group */
        part->tokens = (dt_tokens){0};
    }
    p->written = r->end;
    return DT_OK;
}

/* --- progress --- */

static void report(preparation *p)
{
    char bytes[32], tokens[32], rate[32], line[160];
    const dt_prepare_counts *counts = &p->state.counts;
    double now = dt_clock(), seconds = now - p->started;
    bool terminal = dt_log_has_terminal(p->options->log);
    double *last = terminal ? &p->redrawn : &p->reported;
    if (now - *last < (terminal ? REDRAW_SECONDS : REPORT_SECONDS)) return;
    *last = now;
    snprintf(line, sizeof line, "%s of text, %s tokens, %s/s, file %lld", dt_text_bytes(bytes, (double)counts->bytes),
             dt_text_count(tokens, (double)counts->tokens, ""),
             dt_text_bytes(rate, (double)(counts->bytes - p->started_bytes) / seconds),
             (long long)p->now->end.file + 1);
    if (terminal) dt_log_status_line(p->options->log, line);
    else dt_log_info(p->options->log, "%s", line);
}

/* --- all --- */

static dt_status run_rounds(preparation *p)
{
    p->now = &p->rounds[0];
    p->next = &p->rounds[1];
    read_next(p);
    for (;;) {
        round *read = p->next;
        if (p->read_status) return dt_fail(p->read_status, "%s", p->read_message);
        p->next = p->now;
        p->now = read;
        if (!p->now->pieces.count) return save(p, true);
        DT_TRY(grow_results(p));
        make_groups(p);
        dt_pool_run(p->pool, p->groups + 1, run_task, p);
        DT_TRY(write_round(p));
        report(p);
        if (!p->options->signal || !*p->options->signal) continue;
        DT_TRY(save(p, false));
        return dt_fail(DT_ERR_STOPPED, "stopped by a signal; the same command goes on from here");
    }
}

static dt_status open_threads(preparation *p)
{
    DT_TRY(dt_pool_create(p->options->threads, &p->pool));
    p->threads = dt_pool_threads(p->pool);
    p->encoder = calloc((size_t)p->threads, sizeof *p->encoder);
    p->scratch = calloc((size_t)p->threads, sizeof *p->scratch);
    p->group = calloc((size_t)most_groups(p), sizeof *p->group);
    if (!p->encoder || !p->scratch || !p->group)
        return dt_fail_memory((size_t)most_groups(p) * sizeof *p->group, "threads");
    for (int t = 0; t < p->threads; t++)
        DT_TRY(dt_encoder_create(p->tokenizer, p->options->special, &p->encoder[t]));
    return DT_OK;
}

static dt_status take_source(preparation *p)
{
    const dt_prepare_options *o = p->options;
    dt_prepare_source *s = &p->state.source;
    *s = (dt_prepare_source){p->corpus, dt_tokenizer_hash(p->tokenizer), dt_corpus_hash(p->corpus),
                             dt_corpus_times(p->corpus), .unsound = o->unsound};
    uint64_t words[] = {s->tokenizer, s->files, (uint64_t)o->shard_tokens, o->compress, o->special, o->unsound,
                        o->json_input, dt_hash_text(o->field), 0};
    memcpy(&words[8], &o->held_out, sizeof o->held_out);
    s->key = dt_hash_bytes(words, sizeof words, 0);
    words[5] = 0; /* `unsound` has its own place */
    s->options = dt_hash_bytes(&words[2], sizeof words - 2 * sizeof *words, 0);
    return dt_corpus_input(p->corpus, o->signal, &s->input);
}

/* The state is read anew: another process may have gone on until it gave the lock back. */
static dt_status take_folder(preparation *p)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/lock", p->options->out);
    dt_status status = dt_text_status(&path);
    if (!status) status = dt_lock_take(path.data, &p->lock);
    if (status == DT_ERR_USAGE) status = dt_fail_in(status, "another process prepares this folder");
    if (!status) status = dt_prepare_state_read(p->options->out, &p->state);
    dt_text_free(&path);
    return status;
}

static dt_status prepare(preparation *p)
{
    const dt_prepare_options *o = p->options;
    DT_TRY(dt_tokenizer_open(o->tokenizer, &p->tokenizer));
    DT_TRY(dt_corpus_open(o->paths, o->path_count, o->out, o->json_input, p->tokenizer, &p->corpus));
    DT_TRY(take_source(p));
    DT_TRY(dt_folder_make(o->out));
    DT_TRY(dt_prepare_state_read(o->out, &p->state));
    if (p->state.done) {
        DT_TRY(dt_prepare_check_shards(o->out, &p->state));
        dt_log_info(o->log, "'%s' is complete already", o->out);
        return DT_OK;
    }
    DT_TRY(take_folder(p));
    DT_TRY(dt_prepare_check_shards(o->out, &p->state));
    DT_TRY(dt_tokenizer_copy(o->tokenizer, o->out));
    p->written = p->state.place;
    p->started = p->reported = dt_clock();
    p->started_bytes = p->state.counts.bytes;
    DT_TRY(open_threads(p));
    DT_TRY(dt_corpus_seek(p->corpus, &p->state.place));
    return run_rounds(p);
}

static void release(preparation *p)
{
    for (int split = 0; split < SPLITS; split++) dt_shard_writer_free(p->writer[split]);
    for (int t = 0; t < p->threads; t++) {
        if (p->encoder) dt_encoder_free(p->encoder[t]);
        if (p->scratch) dt_text_free(&p->scratch[t]);
    }
    for (int64_t g = 0; p->group && g < most_groups(p); g++) free(p->group[g].tokens.token);
    for (int i = 0; i < 2; i++) dt_pieces_free(&p->rounds[i].pieces);
    free(p->group);
    free(p->result);
    free(p->encoder);
    free(p->scratch);
    dt_pool_free(p->pool);
    dt_lock_free(p->lock);
    dt_corpus_close(p->corpus);
    dt_tokenizer_close(p->tokenizer);
}

dt_status dt_prepare_tokens(const dt_prepare_options *options, dt_prepare_counts *out)
{
    preparation p = {.options = options};
    dt_status status = prepare(&p);
    *out = p.state.counts;
    if (p.tokenizer) out->vocabulary = dt_tokenizer_vocabulary(p.tokenizer);
    dt_log_status_line(options->log, NULL);
    release(&p);
    return status;
}
