/* Opens and closes what the tests of models have in common. */
#include "built.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

dt_settings *settings_of(const char *const *words)
{
    static const dt_setting_row seed_row = {"seed", DT_SETTING_INT, "7"};
    const dt_setting_table tables[] = {{&seed_row, 1}, dt_nn_settings, dt_model_settings};
    dt_settings *settings;
    size_t count = 0;
    while (words[count]) count++;
    OK(dt_settings_load(NULL, words, count, tables, 3, &settings));
    return settings;
}

built begin(const char *const *words, const dt_model_input *input, bool training)
{
    built b = {.settings = settings_of(words)};
    OK(dt_model_create(b.settings, input, &b.model));
    OK(dt_store_create(&b.store));
    OK(dt_graph_create(b.store, training, &b.graph));
    return b;
}

void finish(built *b, const dt_model_feed *feed)
{
    b->logits = dt_model_build(b->model, b->graph, feed);
    OK(dt_graph_status(b->graph));
}

void release(built *b)
{
    dt_graph_free(b->graph);
    dt_store_free(b->store);
    dt_model_free(b->model);
    dt_settings_free(b->settings);
}
