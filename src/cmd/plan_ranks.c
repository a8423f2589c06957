/* Memory of one rank of several, by arithmetic from the plan of one (Rajbhandari et al., "ZeRO", 2020). Level 0 holds
 * everything on every rank; 1 shards masters, moments and averages; 2 gradients too; 3 also the parameters that passes
 * read, of which two units are gathered at a time. From level 2 on the gradients of two units are whole. */
#include "cmd/plan_ranks.h"

#include <stdio.h>

enum { LEVELS = 4 };
static const int64_t outside = (int64_t)3 << 29; /* context, libraries and communication: 1.5 GiB */
static const char *const shards[LEVELS] = {"nothing is shared out", "masters, moments, averages are shared out",
                                           "gradients too", "parameters too, gathered per unit"};

typedef struct sizes { /* bytes on one rank of one */
    int64_t masters;   /* float32 of what passes read in another type: shards from level 1 on */
    int64_t read;      /* parameters in the type that passes read */
    int64_t optimizer; /* moments and averages */
    int64_t gradients;
    int64_t read_share, gradient_share; /* of two units, the largest */
    int64_t rest;                       /* arena, state, feed, outside */
} sizes;

static int64_t largest_unit(const dt_store *store)
{
    int64_t largest = 0;
    for (int unit = 0; unit < dt_store_units(store); unit++) {
        int64_t count = 0;
        for (int i = 0; i < dt_store_params(store); i++)
            if (dt_store_param(store, i)->unit == unit) count += dt_store_param(store, i)->count;
        if (count > largest) largest = count;
    }
    return largest;
}

static sizes measure(const dt_session *session)
{
    const dt_store *store = dt_session_store(session);
    int64_t values = dt_store_bytes(store, DT_BUFFER_VALUE);
    int64_t working = dt_session_memory(session, DT_MEMORY_PARAMETERS) - values; /* 0 where products read the values */
    int64_t size = (int64_t)dt_dtype_size(dt_store_type(store)), two_units = 2 * largest_unit(store);
    int64_t masters = working ? dt_store_count(store, DT_GROUP_MATRIX) * size : 0;
    return (sizes){
        .masters = masters,
        .read = values - masters + working,
        .optimizer = dt_session_memory(session, DT_MEMORY_OPTIMIZER) + dt_session_memory(session, DT_MEMORY_EMA),
        .gradients = dt_session_memory(session, DT_MEMORY_GRADIENTS),
        .read_share = two_units * (working ? (int64_t)dt_dtype_size(DT_BF16) : size),
        .gradient_share = two_units * size,
        .rest = dt_session_memory(session, DT_MEMORY_ARENA) + dt_session_memory(session, DT_MEMORY_STATE) +
                dt_session_memory(session, DT_MEMORY_FEED) + outside,
    };
}

/* What is left of `whole` on a rank that holds its share, and `more` of it for a while. */
static int64_t share(int64_t whole, int ranks, int64_t more)
{
    int64_t bytes = (whole + ranks - 1) / ranks + (ranks > 1 ? more : 0);
    return bytes < whole ? bytes : whole;
}

static int64_t of_rank(const sizes *s, int level, int ranks)
{
    int64_t gradients = level >= 2 ? share(s->gradients, ranks, s->gradient_share) : s->gradients;
    int64_t read = level >= 3 ? share(s->read, ranks, s->read_share) : s->read;
    int held = level >= 1 ? ranks : 1;
    return share(s->masters, held, 0) + share(s->optimizer, held, 0) + gradients + read + s->rest;
}

/* The least ranks at which level 3 fits; 0: none. */
static int least_ranks(const sizes *s, int64_t memory)
{
    for (int ranks = 1; ranks <= DT_MOST_RANKS; ranks *= 2) {
        if (of_rank(s, LEVELS - 1, ranks) > memory) continue;
        while (ranks > 1 && of_rank(s, LEVELS - 1, ranks - 1) <= memory) ranks--;
        return ranks;
    }
    return 0;
}

static void print_advice(const sizes *s, int64_t memory, int least)
{
    char size[32];
    if (least) printf("  none of these fits; level 3 does from %d ranks on\n", least);
    else printf("  no number of ranks fits: %s are each rank's own; a smaller micro-batch or train.recompute makes "
                "them less\n", dt_text_bytes(size, (double)s->rest));
}

void dt_plan_ranks_print(const dt_session *session, int ranks, int64_t memory)
{
    char size[32];
    sizes s = measure(session);
    bool fits = false;
    printf("ranks          %d of %s, each with passes of %lld; by arithmetic, as training takes one rank so far\n",
           ranks, dt_text_bytes(size, (double)memory), (long long)dt_session_micro_batch(session));
    for (int level = 0; level < LEVELS; level++) {
        int64_t bytes = of_rank(&s, level, ranks);
        printf("  level %d      %10s   %-8s   %s\n", level, dt_text_bytes(size, (double)bytes),
               bytes <= memory ? "fits" : "too much", shards[level]);
        fits = fits || bytes <= memory;
    }
    if (!fits) print_advice(&s, memory, least_ranks(&s, memory));
}
