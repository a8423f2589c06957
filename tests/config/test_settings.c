/* Values from their sources, named rows, base files, printing and help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "table.h"

static dt_settings *parse(const char *yaml, const char *const *words, size_t count)
{
    dt_settings *settings = NULL;
    dt_status status = dt_settings_parse(yaml, strlen(yaml), "a.yaml", words, count, tables, TABLES, &settings);
    if (status) fail_msg("%s", dt_error_message());
    return settings;
}

static void assert_real(double value, double wanted) { assert_true(value == wanted); }

static void a_byte_order_mark_is_passed_over(void **state)
{
    dt_settings *s = parse("\xEF\xBB\xBFseed: 7\n", NULL, 0);
    assert_int_equal(dt_setting_int(s, "seed"), 7);
    dt_settings_free(s);
}

static void later_sources_win(void **state)
{
    const char *const words[] = {"optim.lr=4e-3", "run.name=a: b #c", "optim.betas=[0.5]", "optim.lr=5e-3"};
    dt_settings *s = parse("seed: 7\nrun: {name: x}\noptim: {lr: 2}\nprecision: {mode: bf16}", words, 4);
    double betas[4] = {0};
    assert_int_equal(dt_setting_int(s, "seed"), 7);
    assert_real(dt_setting_real(s, "optim.lr"), 5e-3);
    assert_string_equal(dt_setting_text(s, "run.name"), "a: b #c");
    assert_string_equal(dt_setting_text(s, "run.dir"), "runs");
    assert_string_equal(dt_setting_text(s, "precision.mode"), "bf16");
    assert_int_equal(dt_setting_choice(s, "precision.mode"), 1);
    assert_true(dt_setting_bool(s, "norm.learn_alpha"));
    assert_int_equal(dt_setting_reals(s, "optim.betas", betas, 4), 1);
    assert_real(betas[0], 0.5);
    assert_false(dt_setting_has(s, "train.steps"));
    dt_settings_free(s);
}

static void numbers_are_read_as_written(void **state)
{
    static const struct {
        const char *word;
        double value;
    } cases[] = {{"optim.shift=-1e-3", -1e-3}, {"optim.shift=+.5", .5},  {"optim.shift=5.", 5},
                 {"optim.shift=-0", 0},        {"optim.shift=1E0", 1}, {"optim.shift=4.9999999999999999", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_settings *s = parse("{}", &cases[i].word, 1);
        assert_real(dt_setting_real(s, "optim.shift"), cases[i].value);
        dt_settings_free(s);
    }
    const char *const most = "seed=9223372036854775807";
    dt_settings *s = parse("{}", &most, 1);
    assert_true(dt_setting_int(s, "seed") == INT64_MAX);
    dt_settings_free(s);
}

static void null_takes_a_value_back(void **state)
{
    const char *const words[] = {"train.steps=null", "run.name=null"};
    dt_settings *s = parse("seed: ~\ntrain: {steps: 3}\nrun: {name: \"null\"}", words, 2);
    assert_int_equal(dt_setting_int(s, "seed"), 0);
    assert_false(dt_setting_has(s, "train.steps"));
    assert_false(dt_setting_has(s, "run.name"));
    dt_settings_free(s);
    s = parse("run: {name: \"null\"}", NULL, 0);
    assert_string_equal(dt_setting_text(s, "run.name"), "null");
    dt_settings_free(s);
}

static void names_have_values_of_their_own(void **state)
{
    static const char *const sites[] = {"attention", "ffn", "final"};
    const char *const words[] = {"norm.alpha0.ffn=0.3", "norm.learn_alpha.final=false", "norm.alpha0=0.1",
                                 "norm.kind.default=rmsnorm"};
    dt_settings *s = parse("norm:\n  alpha0: {default: 0.9, attention: 0.8}\n  kind: {final: dyt}\n", words, 4);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "ffn"), 0.3);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "final"), 0.1);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "attention"), 0.1); /* the word for all is later than the file */
    assert_int_equal(dt_setting_choice_for(s, "norm.kind", "final"), 2);
    assert_int_equal(dt_setting_choice_for(s, "norm.kind", "ffn"), 1);
    assert_false(dt_setting_bool_for(s, "norm.learn_alpha", "final"));
    assert_true(dt_setting_bool_for(s, "norm.learn_alpha", "ffn"));
    assert_int_equal(dt_setting_check_names(s, "norm.alpha0", sites, 3), DT_OK);
    dt_settings_free(s);
    s = parse("norm:\n  alpha0: {attn: 0.9,\n    attenton: 0.8}\n", NULL, 0);
    assert_int_equal(dt_setting_check_names(s, "norm.alpha0", sites, 3), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "a.yaml:2:18: norm.alpha0: unknown name 'attn': there is only 'attention', "
                                            "'ffn', 'final'");
    dt_settings_free(s);
    const char *const word = "norm.alpha0.attenton=0.8";
    s = parse("{}", &word, 1);
    assert_int_equal(dt_setting_check_names(s, "norm.alpha0", sites, 3), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "command line: norm.alpha0.attenton=0.8: unknown name 'attenton': there is "
                                            "only 'attention', 'ffn', 'final'; did you mean 'norm.alpha0.attention'?");
    dt_settings_free(s);
}

static void a_name_is_taken_back_alone(void **state)
{
    const char *const word = "norm.alpha0.ffn=null";
    dt_settings *s = parse("norm: {alpha0: {ffn: 0.2, final: 0.3}}", &word, 1);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "ffn"), 0.5);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "final"), 0.3);
    dt_settings_free(s);
}

/* What a text and a word give for the pair; 0: no value. */
static void assert_pair(const char *yaml, const char *word, int64_t steps, int64_t epochs)
{
    dt_settings *s = parse(yaml, &word, word ? 1 : 0);
    dt_text out = {0};
    dt_settings_print(s, &out);
    for (int again = 0; again < 2; again++) { /* also as the resolved text gives it */
        bool in_steps = dt_setting_has(s, "eval.every_steps"), in_epochs = dt_setting_has(s, "eval.every_epochs");
        assert_int_equal(in_steps ? dt_setting_int(s, "eval.every_steps") : 0, steps);
        assert_int_equal(in_epochs ? dt_setting_int(s, "eval.every_epochs") : 0, epochs);
        dt_settings_free(s);
        s = parse(out.data, NULL, 0);
    }
    dt_settings_free(s);
    dt_text_free(&out);
}

static void of_a_pair_the_later_counts(void **state)
{
    assert_pair("{}", NULL, 0, 1);
    assert_pair("eval: {every_steps: 5}", NULL, 5, 0);
    assert_pair("eval: {every_epochs: 3}", "eval.every_steps=5", 5, 0);
    assert_pair("eval: {every_steps: 5}", "eval.every_epochs=3", 0, 3);
    assert_pair("eval: {every_steps: 5}", "eval.every_steps=null", 0, 1);
    assert_pair("eval: {every_steps: 5, every_epochs: null}", NULL, 5, 0);
    assert_pair("eval: {every_epochs: null, every_steps: 5}", NULL, 5, 0);
    assert_pair("eval: {every_steps: 5}", "eval.every_epochs=null", 5, 0);
    dt_settings *s = parse("eval: {every_steps: 5}", (const char *[]){"eval.every_epochs=3"}, 1);
    dt_text out = {0};
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){0}, &out), 1); /* what was replaced is not listed */
    assert_string_equal(out.data, "command line: eval.every_epochs=3\n");
    dt_text_free(&out);
    dt_settings_free(s);
}

static void derived_values_fill_gaps_only(void **state)
{
    dt_settings *s = parse("train: {epochs: 5}", NULL, 0);
    assert_int_equal(dt_setting_derive_int(s, "train.epochs", 9), DT_OK);
    assert_int_equal(dt_setting_int(s, "train.epochs"), 5);
    assert_int_equal(dt_setting_derive_int(s, "train.steps", 0), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "train.steps: must be from 1 to 1000000000, not '0'");
    assert_int_equal(dt_setting_derive_int(s, "train.steps", 12), DT_OK);
    assert_int_equal(dt_setting_int(s, "train.steps"), 12);
    assert_int_equal(dt_setting_derive_text(s, "run.name", "vit"), DT_OK);
    assert_string_equal(dt_setting_text(s, "run.name"), "vit");
    assert_int_equal(dt_setting_fail(s, "train.steps", "too few for %s", "x"), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "train.steps (derived): too few for x");
    assert_int_equal(dt_setting_fail(s, "seed", "no"), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "seed (default): no");
    assert_int_equal(dt_setting_fail(s, "train.epochs", "no"), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), "a.yaml:1:17: train.epochs: no");
    dt_settings_free(s);
}

static void unread_settings_are_listed(void **state)
{
    const char *const words[] = {"optim.lr=3", "norm.alpha0.ffn=0.2"};
    dt_settings *s = parse("seed: 7\nrun: {name: x}\ntrain:\n  steps: 3\n", words, 2);
    dt_text out = {0};
    assert_int_equal(dt_setting_int(s, "seed"), 7);
    assert_true(dt_setting_has(s, "train.steps"));
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){0}, &out), 4);
    assert_string_equal(out.data, "a.yaml:2:13: run.name\na.yaml:4:10: train.steps\n"
                                  "command line: norm.alpha0.ffn=0.2\ncommand line: optim.lr=3\n");
    dt_text_free(&out);
    dt_settings_free(s);
}

static void of_unread_settings_some_are_asked_for(void **state)
{
    const char *const words[] = {"optim.lr=3", "norm.alpha0.ffn=0.2"};
    const char *const sections[] = {"run", "norm", NULL};
    dt_settings *s = parse("run: {name: x}\nnorm:\n  alpha0: {final: 3}\n", words, 2);
    dt_text out = {0};
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){.words_only = true}, &out), 2);
    assert_string_equal(out.data, "command line: norm.alpha0.ffn=0.2\ncommand line: optim.lr=3\n");
    out.length = 0;
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){.sections = sections}, &out), 3);
    assert_string_equal(out.data, "a.yaml:1:13: run.name\na.yaml:3:19: norm.alpha0.final\n"
                                  "command line: norm.alpha0.ffn=0.2\n");
    dt_text_free(&out);
    dt_settings_free(s);
}

static void names_are_read_one_by_one(void **state)
{
    const char *const words[] = {"norm.kind=dyt", "norm.alpha0.final=0.3"};
    static const char yaml[] = "norm:\n  kind: {ffn: rmsnorm}\n  alpha0: {default: 2, ffn: 0.2, attention: 0.4}\n";
    dt_settings *s = parse(yaml, words, 2);
    dt_text out = {0};
    dt_setting_choice_for(s, "norm.kind", "ffn"); /* of the word for all */
    assert_real(dt_setting_real_for(s, "norm.alpha0", "attention"), 0.4);
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){0}, &out), 3);
    assert_string_equal(out.data, "a.yaml:3:21: norm.alpha0\na.yaml:3:29: norm.alpha0.ffn\n"
                                  "command line: norm.alpha0.final=0.3\n");
    dt_text_free(&out);
    dt_settings_free(s);
}

static void repeated_defaults_are_not_inactive(void **state)
{
    const char *const words[] = {"optim.lr=1e-3"};
    dt_settings *s = parse("optim: {betas: [0.9, 0.999]}\nrun: {dir: runs}\nnorm: {learn_alpha: false}\n", words, 1);
    dt_text out = {0};
    assert_int_equal(dt_settings_inactive(s, &(dt_inactive_options){0}, &out), 2);
    assert_string_equal(out.data, "a.yaml:3:21: norm.learn_alpha\ncommand line: optim.lr=1e-3\n");
    dt_text_free(&out);
    dt_settings_free(s);
}

static void assert_prints(const dt_settings *s, const char *wanted)
{
    dt_text out = {0};
    dt_settings_print(s, &out);
    assert_string_equal(out.data, wanted);
    dt_text_free(&out);
}

static void printing_gives_every_value(void **state)
{
    const char *const words[] = {"run.name=a \"b\"\\c", "norm.alpha0.ffn=0.1", "optim.shift=-1e-7"};
    dt_settings *s = parse("norm: {site: {eps: 0.3333333333333333}}", words, 3);
    const char *wanted = "seed: 0\n"
                         "precision:\n"
                         "  mode: fp32\n"
                         "run:\n"
                         "  dir: runs\n"
                         "  name: \"a \\\"b\\\"\\\\c\"\n"
                         "eval:\n"
                         "  every_epochs: 1\n"
                         "norm:\n"
                         "  kind: layernorm\n"
                         "  alpha0: {default: 0.5, ffn: 0.1}\n"
                         "  learn_alpha: true\n"
                         "  site:\n"
                         "    eps: 0.3333333333333333\n"
                         "optim:\n"
                         "  lr: 0.001\n"
                         "  betas: [0.9, 0.999]\n"
                         "  shift: -1e-07\n";
    assert_prints(s, wanted);
    dt_settings *again = parse(wanted, NULL, 0);
    assert_prints(again, wanted);
    dt_settings_free(s);
    dt_settings_free(again);
}

/* Texts that YAML could take for something else come back as they were. */
static void any_text_survives_printing(void **state)
{
    static const char *const texts[] = {
        " ", "null", "~", "true", "3", "1e5", "- a", "a: b", "a #b", "#", "{", "[a]", "*a", "&a", "!a", "%a", "@a",
        "`", "'", "\"", "\\", "\\n", "a\nb", "a\r\nb", "\t", " a ", "/data/images", "-x", "vit-b_1.0", "?", "|", ">",
        "---", "...", "a,b", "=", "\xC3\xA9", "a\xC2\x85!", "\xE2\x80\xA8", "\xE2\x80\xA9x", "\xF0\x9F\x98\x80",
        "\xEF\xBF\xBD",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dt_settings *s = parse("{}", NULL, 0);
        dt_text out = {0};
        assert_int_equal(dt_setting_derive_text(s, "init.from", texts[i]), DT_OK);
        dt_settings_print(s, &out);
        dt_settings *again = parse(out.data, NULL, 0);
        assert_string_equal(dt_setting_text(again, "init.from"), texts[i]);
        assert_prints(again, out.data);
        dt_text_free(&out);
        dt_settings_free(s);
        dt_settings_free(again);
    }
}

static void nothing_prints_as_an_empty_map(void **state)
{
    static const dt_setting_row row = {"run.name", DT_SETTING_TEXT, NULL, .help = "a name"};
    const dt_setting_table table = {&row, 1};
    dt_settings *s;
    assert_int_equal(dt_settings_load(NULL, NULL, 0, &table, 1, &s), DT_OK);
    assert_prints(s, "{}\n");
    dt_settings_free(s);
}

static void help_lists_every_row(void **state)
{
    dt_text out = {0};
    dt_settings_help(tables, TABLES, &out);
    assert_int_equal(dt_text_status(&out), DT_OK);
    for (size_t t = 0; t < TABLES; t++)
        for (size_t r = 0; r < tables[t].count; r++) {
            assert_non_null(strstr(out.data, tables[t].rows[r].path));
            assert_non_null(strstr(out.data, tables[t].rows[r].help));
        }
    assert_non_null(strstr(out.data, "(layernorm | rmsnorm | dyt, or a map from names; default layernorm)"));
    assert_non_null(strstr(out.data, "(whole number from 1 to 1000000000)"));
    assert_non_null(strstr(out.data, "(number at most 5)"));
    assert_non_null(strstr(out.data, "(whole number from 0 to 1000000; in place of eval.every_epochs)"));
    dt_text_free(&out);
}

static int enter_new_folder(void **state)
{
    static char name[32];
    strcpy(name, "dt-config-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave_folder(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

static void write_text(const char *path, const char *text)
{
    assert_int_equal(dt_file_replace(path, text, strlen(text)), DT_OK);
}

static void base_files_come_first(void **state)
{
    dt_settings *s;
    assert_int_equal(dt_folder_make("configs/base"), DT_OK);
    write_text("configs/vit.yaml", "base: base/b.yaml\nseed: 1\nnorm: {alpha0: {ffn: 0.2}}\ntrain: {epochs: null}\n");
    write_text("configs/base/b.yaml", "base: c.yaml\nseed: 2\noptim: {lr: 2}\nnorm: {alpha0: {final: 0.1}}\n");
    write_text("configs/base/c.yaml", "seed: 3\noptim: {lr: 3, shift: 3}\nnorm: {alpha0: 0.9, kind: {a: dyt}}\n"
                                      "train: {epochs: 5}\n");
    assert_int_equal(dt_settings_load("configs/vit.yaml", NULL, 0, tables, TABLES, &s), DT_OK);
    assert_int_equal(dt_setting_int(s, "seed"), 1);
    assert_real(dt_setting_real(s, "optim.lr"), 2);
    assert_real(dt_setting_real(s, "optim.shift"), 3);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "ffn"), 0.2);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "final"), 0.1);
    assert_real(dt_setting_real_for(s, "norm.alpha0", "attention"), 0.9);
    assert_false(dt_setting_has(s, "train.epochs"));
    dt_settings_free(s);
    write_text("configs/vit.yaml", "base: base/c.yaml\nnorm: {alpha0: 0.2, kind: rmsnorm}\n");
    assert_int_equal(dt_settings_load("configs/vit.yaml", NULL, 0, tables, TABLES, &s), DT_OK);
    assert_int_equal(dt_setting_choice_for(s, "norm.kind", "a"), 1); /* one value for all replaces the base's names */
    dt_settings_free(s);
}

static void assert_load_fails(const char *path, const char *message)
{
    dt_settings *s;
    assert_int_equal(dt_settings_load(path, NULL, 0, tables, TABLES, &s), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), message);
}

static void faults_of_base_files_are_named(void **state)
{
    assert_int_equal(dt_folder_make("d"), DT_OK);
    write_text("a.yaml", "seed: 1\nbase: d/b.yaml\n");
    write_text("d/b.yaml", "base: ../d/../a.yaml\n");
    assert_load_fails("a.yaml", "d/b.yaml:1:7: base: a loop: 'a.yaml' -> 'd/b.yaml' -> 'd/../d/../a.yaml'");
    write_text("d/b.yaml", "base: b.yaml\n");
    assert_load_fails("a.yaml", "d/b.yaml:1:7: base: a loop: 'd/b.yaml' -> 'd/b.yaml'");
    write_text("d/b.yaml", "seed: x\n");
    assert_load_fails("a.yaml", "d/b.yaml:1:7: seed: must be a whole number, not 'x'");
    write_text("d/b.yaml", "base: c.yaml\n");
    assert_load_fails("a.yaml", "d/b.yaml:1:7: base: cannot open 'd/c.yaml': No such file or directory");
    assert_load_fails("none.yaml", "cannot open 'none.yaml': No such file or directory");
}

static void a_chain_of_base_files_is_not_endless(void **state)
{
    char path[16] = "c0.yaml", text[32];
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "c%d.yaml", i);
        snprintf(text, sizeof text, "base: c%d.yaml\n", i + 1);
        write_text(path, text);
    }
    assert_load_fails("c0.yaml", "c8.yaml:1:7: base: more than 8 base files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(numbers_are_read_as_written),
        cmocka_unit_test(null_takes_a_value_back),
        cmocka_unit_test(names_have_values_of_their_own),
        cmocka_unit_test(a_name_is_taken_back_alone),
        cmocka_unit_test(of_a_pair_the_later_counts),
        cmocka_unit_test(derived_values_fill_gaps_only),
        cmocka_unit_test(unread_settings_are_listed),
        cmocka_unit_test(of_unread_settings_some_are_asked_for),
        cmocka_unit_test(names_are_read_one_by_one),
        cmocka_unit_test(repeated_defaults_are_not_inactive),
        cmocka_unit_test(printing_gives_every_value),
        cmocka_unit_test(any_text_survives_printing),
        cmocka_unit_test(nothing_prints_as_an_empty_map),
        cmocka_unit_test(help_lists_every_row),
        cmocka_unit_test_setup_teardown(base_files_come_first, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(faults_of_base_files_are_named, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_chain_of_base_files_is_not_endless, enter_new_folder, leave_folder),
    };
    return cmocka_run_group_tests_name("config/settings", tests, NULL, NULL);
}
