/* Words are taken in order; what an option or a setting is can be told from the word alone. */
#include "cmd/arguments.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/command.h"

static const char *const levels[] = {[DT_LOG_DEBUG] = "debug", "info", "warn", "error"};
enum { LEVELS = sizeof levels / sizeof levels[0] };

const dt_option dt_common_options[] = {
    {"--help", NULL, "say what this command does and takes"},
    {"--version", NULL, "print the version"},
    {"--log-level", "LEVEL", "debug, info (default), warn or error: the least that is shown"},
    {0},
};
const dt_option dt_settings_options[] = {
    {"--device", "NAME", "auto, cpu or cuda: the same as device=NAME", .setting = "device"},
    {"--print-config", NULL, "print all settings as they were resolved, as YAML, and do nothing else"},
    {0},
};

/* The lists of options that a command takes. */
enum { LISTS = 3 };
static void option_lists(const dt_command *command, const dt_option *out[LISTS])
{
    static const dt_option none[] = {{0}};
    out[0] = command->options ? command->options : none;
    out[1] = command->settings ? dt_settings_options : none;
    out[2] = dt_common_options;
}

static dt_status fail_unknown(const dt_command *command, const char *name)
{
    const dt_option *lists[LISTS];
    const char *names[DT_MAX_OPTIONS];
    size_t count = 0;
    option_lists(command, lists);
    for (int l = 0; l < LISTS; l++)
        for (const dt_option *o = lists[l]; o->name; o++) names[count++] = o->name;
    const char *nearest = dt_text_nearest(name, names, count);
    if (nearest) return dt_fail(DT_ERR_USAGE, "unknown option '%s'; did you mean '%s'?", name, nearest);
    return dt_fail(DT_ERR_USAGE, "unknown option '%s'; 'dyttrain %s --help' lists the options", name, command->name);
}

/* The option that `word` names up to its '=', or NULL. */
static const dt_option *find_option(const dt_command *command, const char *word, size_t length)
{
    const dt_option *lists[LISTS];
    option_lists(command, lists);
    for (int l = 0; l < LISTS; l++)
        for (const dt_option *o = lists[l]; o->name; o++)
            if (strlen(o->name) == length && memcmp(o->name, word, length) == 0) return o;
    return NULL;
}

/* path=value, where the path has the letters of a path: "a.b_c=..." but not "./run=1". No path has a hyphen, but people
 * write one for an underscore, and are then told the nearest path. */
static bool is_setting(const char *word)
{
    size_t i = 0;
    while (isalnum((unsigned char)word[i]) || (word[i] && strchr("_.-", word[i]))) i++;
    return i > 0 && word[i] == '=' && word[0] != '.';
}

static dt_status add_option(dt_arguments *args, const dt_option *option, const char *value)
{
    if (dt_arguments_has(args, option->name)) return dt_fail(DT_ERR_USAGE, "option '%s' is given twice", option->name);
    args->options[args->option_count++] = (dt_given_option){option->name, value ? value : ""};
    if (!option->setting) return DT_OK;
    char *setting = dt_arena_format(args->arena, "%s=%s", option->setting, value);
    if (!setting) return DT_ERR_MEMORY;
    args->settings[args->setting_count++] = setting;
    return DT_OK;
}

static const char *choice(const dt_option *option, const char *word)
{
    for (const char *const *c = option->choices; word && *c; c++)
        if (strcmp(*c, word) == 0) return *c;
    return NULL;
}

static dt_status fail_choice(const dt_option *option, const char *value)
{
    dt_text choices = {0};
    for (const char *const *c = option->choices; *c; c++) dt_text_add(&choices, "%s%s", choices.length ? ", " : "", *c);
    dt_status status = dt_text_status(&choices);
    if (!status)
        status = dt_fail(DT_ERR_USAGE, "option '%s' takes one of %s, not '%s'", option->name, choices.data, value);
    dt_text_free(&choices);
    return status;
}

/* `next` is the word behind the option, or NULL; *took tells whether it is the option's value. */
static dt_status parse_value(const dt_option *option, const char *equals, const char *next, const char **value,
                             bool *took)
{
    *took = false;
    *value = equals ? equals + 1 : NULL;
    if (!option->value && equals)
        return dt_fail(DT_ERR_USAGE, "option '%s' takes no value, but is given '%s'", option->name, equals + 1);
    if (!option->value) return DT_OK;
    bool may_lack = option->choices && !option->needs_value;
    if (!equals) {
        *took = may_lack ? choice(option, next) != NULL : next != NULL;
        *value = *took ? next : may_lack ? option->choices[0] : NULL;
    }
    if (option->choices && *value && !choice(option, *value)) return fail_choice(option, *value);
    return *value ? DT_OK : dt_fail(DT_ERR_USAGE, "option '%s' needs a %s", option->name, option->value);
}

/* An option and its value; `*at` is moved past a value that is a word of its own. */
static dt_status parse_option(dt_arguments *args, int count, char *const *words, int *at)
{
    const char *word = strcmp(words[*at], "-h") == 0 ? "--help" : words[*at];
    const char *equals = strchr(word, '='), *value;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const dt_option *option = find_option(args->command, word, length);
    bool took;
    if (!option) {
        const char *name = dt_arena_format(args->arena, "%.*s", (int)length, word);
        return name ? fail_unknown(args->command, name) : DT_ERR_MEMORY;
    }
    DT_TRY(parse_value(option, equals, *at + 1 < count ? words[*at + 1] : NULL, &value, &took));
    if (option->choices && !equals && !took) {
        args->left_out = option;
        args->behind = *at + 1 < count ? words[*at + 1] : NULL;
    }
    *at += took;
    return add_option(args, option, value);
}

/* Was the plain word behind an option without a value meant to be its value? Then it is one word too many, or has
 * neither a file nor the letters of a path. */
static bool is_no_choice(const dt_arguments *args)
{
    bool plain = false;
    for (int i = 0; i < args->word_count && args->behind; i++) plain |= strcmp(args->words[i], args->behind) == 0;
    return plain && (args->word_count > args->command->most_words ||
                     (!strpbrk(args->behind, "./") && access(args->behind, F_OK) != 0));
}

static dt_status check_counts(const dt_arguments *args)
{
    const dt_command *command = args->command;
    if (dt_arguments_has(args, "--help") || dt_arguments_has(args, "--version")) return DT_OK;
    if (is_no_choice(args)) return fail_choice(args->left_out, args->behind);
    if (!command->settings && args->setting_count)
        return dt_fail(DT_ERR_USAGE, "'%s' takes no settings, but '%s' looks like one", command->name,
                       args->settings[0]);
    if (args->word_count > command->most_words)
        return dt_fail(DT_ERR_USAGE, "one word too many: '%s'; usage: dyttrain %s",
                       args->words[command->most_words], command->usage);
    if (args->word_count < command->least_words)
        return dt_fail(DT_ERR_USAGE, "a word is missing; usage: dyttrain %s ('dyttrain --help' says more)",
                       command->usage);
    return DT_OK;
}

static dt_status parse(dt_arguments *args, int count, char *const *words)
{
    size_t room = ((size_t)count + 1) * sizeof *args->words;
    bool plain = false;
    args->words = dt_arena_alloc(args->arena, room);
    args->settings = dt_arena_alloc(args->arena, room);
    if (!args->words || !args->settings) return DT_ERR_MEMORY;
    for (int i = 0; i < count; i++) {
        if (!plain && strcmp(words[i], "--") == 0) plain = true;
        else if (!plain && words[i][0] == '-' && words[i][1]) DT_TRY(parse_option(args, count, words, &i));
        else if (!plain && is_setting(words[i])) args->settings[args->setting_count++] = words[i];
        else args->words[args->word_count++] = words[i];
    }
    return check_counts(args);
}

static dt_status read_level(const dt_arguments *args, int *level)
{
    const char *word = dt_arguments_value(args, "--log-level");
    *level = DT_LOG_INFO;
    if (word)
        for (*level = 0; *level < LEVELS && strcmp(word, levels[*level]) != 0;) (*level)++;
    if (*level < LEVELS) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "--log-level must be debug, info, warn or error, not '%s'", word);
}

dt_status dt_arguments_parse(const dt_command *command, int count, char *const *words, dt_arguments *out)
{
    dt_arena *arena;
    DT_TRY(dt_arena_create(&arena));
    *out = (dt_arguments){.command = command, .arena = arena};
    int level;
    dt_status status = parse(out, count, words);
    if (!status) status = read_level(out, &level);
    if (status) dt_arguments_free(out);
    return status;
}

void dt_arguments_free(dt_arguments *args)
{
    dt_arena_free(args->arena);
    *args = (dt_arguments){0};
}

const char *dt_arguments_value(const dt_arguments *args, const char *option)
{
    for (int i = 0; i < args->option_count; i++)
        if (strcmp(args->options[i].name, option) == 0) return args->options[i].value;
    return NULL;
}

bool dt_arguments_has(const dt_arguments *args, const char *option) { return dt_arguments_value(args, option) != NULL; }

dt_status dt_arguments_log(const dt_arguments *args, dt_log **out)
{
    int level;
    DT_TRY(read_level(args, &level));
    return dt_log_create(stderr, (dt_log_level)level, out);
}

dt_status dt_arguments_number(const dt_arguments *args, const char *option, double least, double most, double *value)
{
    char *end;
    const char *text = dt_arguments_value(args, option);
    if (!text) return DT_OK;
    double given = strtod(text, &end);
    if (end == text || *end || !(given >= least && given <= most))
        return dt_fail(DT_ERR_USAGE, "%s=%s: a number from %g to %g is needed", option, text, least, most);
    *value = given;
    return DT_OK;
}

dt_status dt_arguments_whole(const dt_arguments *args, const char *option, double most, double *value)
{
    DT_TRY(dt_arguments_number(args, option, 1, most, value));
    if (*value == floor(*value)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "%s=%s: a whole number is needed", option, dt_arguments_value(args, option));
}
