/* Batches from the loader to the device, with the events that keep copies and programs apart. */
#include "train/feed.h"

#include <stdlib.h>

enum { NO_SLOT = -1 };

struct dt_feed {
    dt_session *session;
    dt_device *device;
    dt_loader *loader;
    void **image; /* host, `ahead` of them */
    int ahead;
    size_t bytes; /* of each: what its program's slot holds */
    int open;     /* image of the open batch */
    int copying;  /* image whose copy may still run */
    int turn;     /* device slot of the open batch */
    dt_event *copied[DT_SLOTS], *consumed[DT_SLOTS];
};

static dt_status make_events(dt_feed *f)
{
    for (int i = 0; i < DT_SLOTS; i++) {
        DT_TRY(dt_event_create(f->device, &f->copied[i]));
        DT_TRY(dt_event_create(f->device, &f->consumed[i]));
        DT_TRY(dt_event_record(f->device, f->consumed[i], DT_STREAM_COMPUTE)); /* both slots start free */
    }
    return DT_OK;
}

static dt_status make_images(dt_feed *f, const dt_settings *settings)
{
    f->ahead = (int)dt_setting_int(settings, "data.ahead");
    f->image = calloc((size_t)f->ahead, sizeof *f->image);
    if (!f->image) return dt_fail_memory((size_t)f->ahead * sizeof *f->image, "the batches' images");
    for (int i = 0; i < f->ahead; i++)
        DT_TRY(dt_device_alloc_host(f->device, f->bytes, &f->image[i]));
    return DT_OK;
}

static dt_status start_loader(dt_feed *f, dt_dataset *data, const dt_settings *settings, dt_program_id id,
                              int64_t start, dt_log *log)
{
    const dt_session *s = f->session;
    dt_loader_options options = {.split = id == DT_PROGRAM_PASS ? DT_SPLIT_TRAIN : DT_SPLIT_EVAL,
                                 .seed = (uint64_t)dt_setting_int(settings, "seed"),
                                 .batch = id == DT_PROGRAM_PASS ? s->recipe.micro : s->recipe.eval_batch,
                                 .start = start,
                                 .rank = dt_comm_rank(s->comm),
                                 .ranks = dt_comm_size(s->comm),
                                 .workers = (int)dt_setting_int(settings, "data.workers"),
                                 .ahead = f->ahead,
                                 .slots = f->image,
                                 .fields = dt_session_fields(s, id),
                                 .damaged = dt_setting_text(settings, "data.damaged")};
    return dt_loader_create(data, settings, &options, log, &f->loader);
}

dt_status dt_feed_create(dt_session *s, dt_dataset *data, const dt_settings *settings, dt_program_id id, int64_t start,
                         dt_log *log, dt_feed **out)
{
    dt_feed *f = calloc(1, sizeof *f);
    if (!f) return dt_fail_memory(sizeof *f, "the feed");
    f->session = s;
    f->device = s->device;
    f->bytes = (size_t)dt_session_slot_bytes(s, id);
    f->open = f->copying = NO_SLOT;
    dt_status status = make_events(f);
    if (!status) status = make_images(f, settings);
    if (!status) status = start_loader(f, data, settings, id, start, log);
    if (status) dt_feed_free(f);
    else *out = f;
    return status;
}

void dt_feed_free(dt_feed *f)
{
    if (!f) return;
    dt_loader_free(f->loader);
    for (int i = 0; f->image && i < f->ahead; i++) dt_device_free_host(f->device, f->image[i]);
    for (int i = 0; i < DT_SLOTS; i++) {
        dt_event_free(f->device, f->copied[i]);
        dt_event_free(f->device, f->consumed[i]);
    }
    free(f->image);
    free(f);
}

/* Gives the image before back to the loader once its copy is through. */
static dt_status release_copied(dt_feed *f)
{
    if (f->copying == NO_SLOT) return DT_OK;
    DT_TRY(dt_event_sync(f->device, f->copied[(f->turn + DT_SLOTS - 1) % DT_SLOTS]));
    dt_loader_release(f->loader, f->copying);
    f->copying = NO_SLOT;
    return DT_OK;
}

dt_status dt_feed_rewind(dt_feed *f)
{
    DT_TRY(release_copied(f));
    return dt_loader_rewind(f->loader);
}

dt_status dt_feed_next(dt_feed *f, dt_batch *out, double *wait)
{
    double waited = 0;
    DT_TRY(dt_loader_next(f->loader, out, &waited));
    *wait += waited;
    f->open = out->slot;
    return DT_OK;
}

char *dt_feed_image(const dt_feed *f) { return f->image[f->open]; }

dt_status dt_feed_send(dt_feed *f, const char **slot)
{
    dt_device *device = f->device;
    char *to = f->session->slot[f->turn];
    DT_TRY(dt_event_wait(device, f->consumed[f->turn], DT_STREAM_COPY));
    DT_TRY(dt_device_upload(device, DT_STREAM_COPY, to, dt_feed_image(f), f->bytes));
    DT_TRY(dt_event_record(device, f->copied[f->turn], DT_STREAM_COPY));
    DT_TRY(dt_event_wait(device, f->copied[f->turn], DT_STREAM_COMPUTE));
    DT_TRY(release_copied(f));
    f->copying = f->open;
    *slot = to;
    return DT_OK;
}

dt_status dt_feed_done(dt_feed *f)
{
    DT_TRY(dt_event_record(f->device, f->consumed[f->turn], DT_STREAM_COMPUTE));
    f->open = NO_SLOT;
    f->turn = (f->turn + 1) % DT_SLOTS;
    return DT_OK;
}
