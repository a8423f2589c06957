/* Joins the rows of all rooms, and prints them or the settings made of them. */
#include "cmd/table.h"

#include <stdio.h>
#include <string.h>

#include "comm/world.h"
#include "train/generate.h"

enum { TABLES = 7 };

static void join(dt_setting_table out[TABLES])
{
    out[0] = dt_train_settings;
    out[1] = dt_data_settings;
    out[2] = dt_model_settings;
    out[3] = dt_nn_settings;
    out[4] = dt_checkpoint_settings;
    out[5] = dt_generate_settings;
    out[6] = dt_world_settings;
}

dt_status dt_table_load(const dt_arguments *args, const char *config, dt_settings **out)
{
    dt_setting_table tables[TABLES];
    join(tables);
    return dt_settings_load(config, args->settings, args->setting_count, tables, TABLES, out);
}

dt_status dt_table_parse(const dt_arguments *args, const char *yaml, const char *name, dt_settings **out)
{
    dt_setting_table tables[TABLES];
    join(tables);
    return dt_settings_parse(yaml, strlen(yaml), name, args->settings, args->setting_count, tables, TABLES, out);
}

dt_status dt_table_vary(const dt_settings *settings, const char *const *words, size_t count, dt_settings **out)
{
    dt_text yaml = {0};
    const dt_arguments args = {.settings = (const char **)words, .setting_count = count};
    dt_settings_print(settings, &yaml);
    dt_status status = dt_text_status(&yaml);
    if (!status) status = dt_table_parse(&args, yaml.data, "settings that were printed", out);
    dt_text_free(&yaml);
    return status;
}

static dt_status print(dt_text *text)
{
    dt_status status = dt_text_status(text);
    if (!status) fputs(text->data, stdout);
    dt_text_free(text);
    return status;
}

dt_status dt_table_print_help(void)
{
    dt_setting_table tables[TABLES];
    dt_text text = {0};
    join(tables);
    dt_settings_help(tables, TABLES, &text);
    return print(&text);
}

dt_status dt_table_resolve(dt_settings *settings, dt_log *log)
{
    dt_session *session;
    const dt_session_options options = {.plan_only = true, .settings_only = true};
    DT_TRY(dt_session_create(settings, &options, log, &session));
    dt_session_free(session);
    return DT_OK;
}

dt_status dt_table_print(const dt_settings *settings)
{
    dt_text text = {0};
    dt_settings_print(settings, &text);
    return print(&text);
}

dt_status dt_table_print_config(dt_settings *settings, dt_log *log)
{
    DT_TRY(dt_table_resolve(settings, log));
    return dt_table_print(settings);
}
