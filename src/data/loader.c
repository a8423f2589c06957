/* The loader: threads that fill the caller's slot images ahead of the device.
 *
 * The stream is cut into batches and each batch into pieces of a few samples (about PIECE_BYTES), numbered on. A
 * worker takes the next piece as soon as the slot of its batch is free (batch b lies in slot b mod ahead), fills it
 * without the lock, and takes the next. Whoever fills a batch's last piece does what is to be done with the whole. So
 * several workers share a batch of large images, one fills whole batches of small ones, and batches become ready nearly
 * in order. What is written depends on the piece's number alone. Sleeping threads wait on conditions; nothing spins. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "data/fill.h"

enum { PIECE_BYTES = 64 << 10 };

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_TAKEN } slot_state;

typedef struct ring_slot {
    slot_state state;
    int64_t pieces_left; /* while filling */
    dt_status status;    /* when not DT_OK: of the lowest piece that failed, with its message */
    int64_t failed_piece;
    char message[DT_MESSAGE_ROOM];
} ring_slot;

typedef struct worker {
    dt_loader *loader;
    void *scratch; /* what filling takes */
    pthread_t thread;
} worker;

struct dt_loader {
    dt_filler filler;
    int64_t piece_samples, pieces; /* of one batch */

    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t work;   /* a slot became free, or stop */
    pthread_cond_t ready;  /* the batch waited for is ready, or the last active worker came back */
    int64_t next_piece;    /* to be taken: batch * pieces + piece */
    int64_t next_batch;    /* to be delivered */
    int active;            /* workers that fill a piece now */
    bool stop, paused;
    ring_slot *slots;     /* [options.ahead] */
    worker *workers; /* [options.workers] */
    int started;     /* threads */
};

static ring_slot *slot_of(dt_loader *loader, int64_t batch)
{
    return &loader->slots[batch % loader->filler.options.ahead];
}

/* May the next piece be taken now? Only a batch's first piece waits for the slot. */
static bool can_take(dt_loader *loader)
{
    int64_t batch = loader->next_piece / loader->pieces;
    if (loader->paused || batch >= loader->filler.batches) return false;
    return loader->next_piece % loader->pieces || slot_of(loader, batch)->state == SLOT_FREE;
}

static int64_t take_piece(dt_loader *loader)
{
    int64_t piece = loader->next_piece++;
    ring_slot *s = slot_of(loader, piece / loader->pieces);
    if (piece % loader->pieces == 0) {
        s->state = SLOT_FILLING;
        s->status = DT_OK;
        s->pieces_left = loader->pieces;
    }
    loader->active++;
    if (can_take(loader)) pthread_cond_signal(&loader->work); /* there is some for another */
    return piece;
}

static dt_status fill_piece(dt_loader *loader, int64_t piece, void *scratch)
{
    const dt_loader_options *options = &loader->filler.options;
    int64_t batch = piece / loader->pieces, first = piece % loader->pieces * loader->piece_samples;
    int64_t end = first + loader->piece_samples;
    if (end > options->batch) end = options->batch;
    return dt_fill_samples(&loader->filler, batch, first, end, scratch, options->slots[batch % options->ahead]);
}

/* Nobody else touches the batch now: the lock is given back for the while. */
static void finish_batch(dt_loader *loader, int64_t batch, void *scratch)
{
    const dt_loader_options *options = &loader->filler.options;
    pthread_mutex_unlock(&loader->mutex);
    dt_fill_rest(&loader->filler, scratch, options->slots[batch % options->ahead]);
    pthread_mutex_lock(&loader->mutex);
}

static void finish_piece(dt_loader *loader, int64_t piece, dt_status status, void *scratch)
{
    int64_t batch = piece / loader->pieces;
    ring_slot *s = slot_of(loader, batch);
    if (status && (!s->status || piece < s->failed_piece)) {
        s->status = status;
        s->failed_piece = piece;
        strncpy(s->message, dt_error_message(), DT_MESSAGE_ROOM - 1);
    }
    if (!--s->pieces_left) {
        if (!s->status) finish_batch(loader, batch, scratch);
        s->state = SLOT_READY;
    }
    loader->active--;
    bool wanted = s->state == SLOT_READY && batch == loader->next_batch;
    if (wanted || (loader->paused && !loader->active)) pthread_cond_signal(&loader->ready);
}

static void *work(void *arg)
{
    worker *self = arg;
    dt_loader *loader = self->loader;
    pthread_mutex_lock(&loader->mutex);
    for (;;) {
        while (!loader->stop && !can_take(loader)) pthread_cond_wait(&loader->work, &loader->mutex);
        if (loader->stop) break;
        int64_t piece = take_piece(loader);
        pthread_mutex_unlock(&loader->mutex);
        dt_status status = fill_piece(loader, piece, self->scratch);
        pthread_mutex_lock(&loader->mutex);
        finish_piece(loader, piece, status, self->scratch);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

static dt_status start_workers(dt_loader *loader)
{
    size_t bytes = dt_filler_scratch_bytes(&loader->filler);
    for (int w = 0; w < loader->filler.options.workers; w++) {
        worker *self = &loader->workers[w];
        self->loader = loader;
        self->scratch = malloc(bytes);
        if (!self->scratch) return dt_fail_memory(bytes, "a worker of the loader");
        int error = dt_thread_start(&self->thread, "dt-loader", 0, work, self);
        if (error)
            return dt_fail(DT_ERR_IO, "cannot start worker %d of data.workers=%d: %s", w + 1,
                           loader->filler.options.workers, strerror(error));
        loader->started++;
    }
    return DT_OK;
}

static void choose_pieces(dt_loader *loader)
{
    int64_t batch = loader->filler.options.batch;
    int64_t samples = PIECE_BYTES / dt_sample_bytes(&loader->filler.dataset->info);
    loader->piece_samples = samples < 1 ? 1 : samples > batch ? batch : samples;
    loader->pieces = (batch + loader->piece_samples - 1) / loader->piece_samples;
}

dt_status dt_loader_create(dt_dataset *dataset, const dt_settings *settings, const dt_loader_options *options,
                           dt_log *log, dt_loader **out)
{
    assert(options->workers >= 1 && options->ahead >= 2 && options->batch >= 1 && options->start >= 0);
    dt_loader *loader = calloc(1, sizeof *loader);
    if (!loader) return dt_fail_memory(sizeof *loader, "the loader");
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);
    dt_status status;
    DT_TRY_GOTO(dt_filler_init(&loader->filler, dataset, settings, options, log), failed);
    choose_pieces(loader);
    loader->slots = calloc((size_t)options->ahead, sizeof *loader->slots);
    loader->workers = calloc((size_t)options->workers, sizeof *loader->workers);
    if (!loader->slots || !loader->workers) {
        status = dt_fail_memory((size_t)options->ahead * sizeof *loader->slots, "the loader");
        goto failed;
    }
    DT_TRY_GOTO(start_workers(loader), failed);
    *out = loader;
    return DT_OK;
failed:
    dt_loader_free(loader);
    return status;
}

void dt_loader_free(dt_loader *loader)
{
    if (!loader) return;
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    for (int w = 0; w < loader->started; w++) pthread_join(loader->workers[w].thread, NULL);
    for (int w = 0; loader->workers && w < loader->filler.options.workers; w++) free(loader->workers[w].scratch);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->mutex);
    free(loader->workers);
    free(loader->slots);
    free(loader);
}

/* With the lock: the state of the slot once it is filled. */
static ring_slot *wait_for_batch(dt_loader *loader, int64_t batch, double *seconds)
{
    ring_slot *s = slot_of(loader, batch);
    assert(s->state != SLOT_TAKEN); /* the caller holds every slot and waits for another */
    *seconds = 0;
    if (s->state == SLOT_READY) return s;
    double start = dt_clock();
    while (s->state != SLOT_READY) pthread_cond_wait(&loader->ready, &loader->mutex);
    *seconds = dt_clock() - start;
    return s;
}

dt_status dt_loader_next(dt_loader *loader, dt_batch *out, double *wait)
{
    dt_status status = DT_OK;
    int64_t batch = loader->next_batch; /* only this thread writes it */
    if (batch >= loader->filler.batches) {
        *out = (dt_batch){.slot = -1};
        *wait = 0;
        return DT_OK;
    }
    pthread_mutex_lock(&loader->mutex);
    ring_slot *s = wait_for_batch(loader, batch, wait);
    if (s->status) {
        status = dt_fail(s->status, "%s", s->message);
    } else {
        s->state = SLOT_TAKEN;
        loader->next_batch++;
    }
    pthread_mutex_unlock(&loader->mutex);
    if (status) return status;
    *out = dt_filler_batch(&loader->filler, batch);
    out->slot = (int)(batch % loader->filler.options.ahead);
    return DT_OK;
}

void dt_loader_release(dt_loader *loader, int slot)
{
    pthread_mutex_lock(&loader->mutex);
    assert(loader->slots[slot].state == SLOT_TAKEN);
    loader->slots[slot].state = SLOT_FREE;
    if (can_take(loader)) pthread_cond_signal(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}

dt_status dt_loader_rewind(dt_loader *loader)
{
    pthread_mutex_lock(&loader->mutex);
    loader->paused = true;
    while (loader->active) pthread_cond_wait(&loader->ready, &loader->mutex);
    for (int s = 0; s < loader->filler.options.ahead; s++) loader->slots[s].state = SLOT_FREE;
    loader->next_piece = loader->next_batch = 0;
    loader->paused = false;
    pthread_cond_signal(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    return DT_OK;
}
