/* What the user can write wrongly, and the message for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/threads.h"
#include "table.h"

static void assert_refused(dt_status status, const char *message)
{
    assert_int_equal(status, DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), message);
}

static dt_status parse(const char *yaml, size_t size)
{
    dt_settings *settings = NULL;
    dt_status status = dt_settings_parse(yaml, size, "a.yaml", NULL, 0, tables, TABLES, &settings);
    if (!status) dt_settings_free(settings);
    return status;
}

static void bad_texts_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {"", "a.yaml:1:1: empty: no setting is given"},
        {"# nothing\n", "a.yaml:2:1: empty: no setting is given"},
        {"---\n", "a.yaml:2:1: empty: no setting is given"},
        {"3", "a.yaml:1:1: must be a map of settings, not '3'"},
        {"- 3", "a.yaml:1:1: must be a map of settings, not a list"},
        {"seed: 1\n---\nseed: 2\n", "a.yaml:2:1: a second document: one file holds one"},
        {"seed: 1\nrun:\n\tname: a\n", "a.yaml:3:1: a tab in the indentation: use spaces"},
        {"run:\n  name: a\n  \tdir: b\n", "a.yaml:3:3: a tab in the indentation: use spaces"},
        {"run: {name: \xC3(}", "a.yaml:1:13: not UTF-8: byte 0xC3"},
        {"run: {name: \xC0\x80}", "a.yaml:1:13: not UTF-8: byte 0xC0"},
        {"run: {name: \xED\xA0\x80}", "a.yaml:1:13: not UTF-8: byte 0xED"},
        {"run: {name: \xF4\x90\x80\x80}", "a.yaml:1:13: not UTF-8: byte 0xF4"},
        {"\xFF\xFEs", "a.yaml:1:1: not UTF-8: byte 0xFF"},
        {"run: {name: \x1B[2J}", "a.yaml:1:13: the control character U+001B"},
        {"run: {name: \"\\0\"}", "a.yaml:1:13: a control character in a text"},
        {"run: {name: \"\\e[2J\"}", "a.yaml:1:13: a control character in a text"},
        {"a: &x [*x, *x]", "a.yaml:1:4: anchors and aliases are not allowed"},
        {"a: *x", "a.yaml:1:4: anchors and aliases are not allowed"},
        {"seed: !!int 3", "a.yaml:1:7: tags are not allowed"},
        {"&k seed: 3", "a.yaml:1:1: anchors and aliases are not allowed"},
        {"seed: 1: 2", "a.yaml:1:8: not valid YAML: mapping values are not allowed in this context"},
        {"run: {name: a", "a.yaml:2:1: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'"},
        {"[1]: 3", "a.yaml:1:1: a key must be a word"},
        {"\"\": 3", "a.yaml:1:1: a key is empty"},
        {"seed: 1\nseed: 2", "a.yaml:2:1: duplicate key 'seed': first on line 1"},
        {"run: {name: a}\noptim: {lr: 1}\nrun: {dir: a}", "a.yaml:3:1: duplicate key 'run': first on line 1"},
        {"optim: {lr: 1, \"lr\": 1}", "a.yaml:1:16: duplicate key 'lr': first on line 1"},
        {"optim.lr: 3", "a.yaml:1:1: optim.lr: write nested keys, not 'optim.lr', in a file"},
        {"\xC3\xA9: 1\nseed: x", "a.yaml:1:1: \xC3\xA9: unknown setting"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(parse(cases[i].yaml, strlen(cases[i].yaml)), cases[i].message);
    assert_refused(parse("seed: 1\0", 8), "a.yaml:1:8: a NUL byte");
}

static void unknown_settings_name_the_nearest(void **state)
{
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {"sede: 3", "a.yaml:1:1: sede: unknown setting; did you mean 'seed'?"},
        {"optim:\n  lrr: 3", "a.yaml:2:3: optim.lrr: unknown setting; did you mean 'optim.lr'?"},
        {"optm:\n  lr: 3", "a.yaml:1:1: optm: unknown setting; did you mean 'optim'?"},
        {"train: {lr: 3}", "a.yaml:1:9: train.lr: unknown setting; did you mean 'optim.lr'?"},
        {"norm: {sit: {eps: 3}}", "a.yaml:1:8: norm.sit: unknown setting; did you mean 'norm.site'?"},
        {"<<: 3", "a.yaml:1:1: <<: unknown setting"},
        {"norm: {xyz: 3}", "a.yaml:1:8: norm.xyz: unknown setting; norm has kind, alpha0, learn_alpha, site"},
        {"xyz: {norm: 3}", "a.yaml:1:1: xyz: unknown setting"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(parse(cases[i].yaml, strlen(cases[i].yaml)), cases[i].message);
}

static void bad_values_are_refused_with_their_path(void **state)
{
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {"seed: x", "a.yaml:1:7: seed: must be a whole number, not 'x'"},
        {"seed: 1e6", "a.yaml:1:7: seed: must be a whole number, not '1e6'"},
        {"seed: 1_000", "a.yaml:1:7: seed: must be a whole number, not '1_000'"},
        {"seed: 1.0", "a.yaml:1:7: seed: must be a whole number, not '1.0'"},
        {"seed: 0x10", "a.yaml:1:7: seed: must be a whole number, not '0x10'"},
        {"seed: -", "a.yaml:1:7: not valid YAML: block sequence entries are not allowed in this context"},
        {"seed: |\n  1\n", "a.yaml:1:7: seed: must be a whole number, not the text '1?'"},
        {"base: null\nseed: -1", "a.yaml:2:7: seed: must be at least 0, not '-1'"},
        {"seed: -1", "a.yaml:1:7: seed: must be at least 0, not '-1'"},
        {"seed: 9223372036854775808",
         "a.yaml:1:7: seed: must be a whole number of at most 64 bits, not '9223372036854775808'"},
        {"seed: \"1\"", "a.yaml:1:7: seed: must be a whole number, not the text '1'"},
        {"seed:", "a.yaml:1:6: seed: has no value: write a whole number, or null for the default"},
        {"seed: [1]", "a.yaml:1:7: seed: must be a whole number, not a list"},
        {"seed: {a: 1}", "a.yaml:1:7: seed: must be a whole number, not a map"},
        {"train: {steps: 0}", "a.yaml:1:16: train.steps: must be from 1 to 1000000000, not '0'"},
        {"optim: {lr: nan}", "a.yaml:1:13: optim.lr: must be a number, not 'nan'"},
        {"optim: {lr: .inf}", "a.yaml:1:13: optim.lr: must be a number, not '.inf'"},
        {"optim: {lr: 0x1p3}", "a.yaml:1:13: optim.lr: must be a number, not '0x1p3'"},
        {"optim: {lr: 1e999}", "a.yaml:1:13: optim.lr: must be a finite number, not '1e999'"},
        {"optim: {lr: 1e-400}",
         "a.yaml:1:13: optim.lr: must be a number that is not too small to tell from 0, not '1e-400'"},
        {"optim: {lr: 1e}", "a.yaml:1:13: optim.lr: must be a number, not '1e'"},
        {"optim: {lr: .}", "a.yaml:1:13: optim.lr: must be a number, not '.'"},
        {"optim: {shift: 6}", "a.yaml:1:16: optim.shift: must be at most 5, not '6'"},
        {"optim: {betas: 0.9}", "a.yaml:1:16: optim.betas: must be a list of numbers like [0.9, 0.999], not '0.9'"},
        {"optim: {betas: [0.9, 2]}", "a.yaml:1:22: optim.betas: must be from 0 to 1, not '2'"},
        {"optim: {betas: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}",
         "a.yaml:1:65: optim.betas: has more than 16 numbers"},
        {"norm: {learn_alpha: yes}", "a.yaml:1:21: norm.learn_alpha: must be true or false, not 'yes'"},
        {"norm: {learn_alpha: True}", "a.yaml:1:21: norm.learn_alpha: must be true or false, not 'True'"},
        {"norm: {kind: dyd}",
         "a.yaml:1:14: norm.kind: 'dyd' is none of 'layernorm', 'rmsnorm' or 'dyt'; did you mean 'dyt'?"},
        {"precision: {mode: x}", "a.yaml:1:19: precision.mode: 'x' is none of 'fp32' or 'bf16'"},
        {"run: {name: [a]}", "a.yaml:1:13: run.name: must be a text, not a list"},
        {"run: {name: }", "a.yaml:1:13: run.name: has no value: write a text, or null for the default"},
        {"run: {name: \"\"}", "a.yaml:1:13: run.name: has no value: write a text, or null for the default"},
        {"run: 3", "a.yaml:1:6: run: is a section of settings, not '3'"},
        {"run: [3]", "a.yaml:1:6: run: is a section of settings, not a list"},
        {"run:", "a.yaml:1:5: run: is a section of settings, but empty"},
        {"norm: {alpha0: {attention: x}}", "a.yaml:1:28: norm.alpha0.attention: must be a number, not 'x'"},
        {"norm: {alpha0: {a b: 1}}",
         "a.yaml:1:17: norm.alpha0.a b: not a name: letters, digits, '_' and '-', up to 100"},
        {"norm: {alpha0: {a: {b: 1}}}", "a.yaml:1:20: norm.alpha0.a: must be a number, not a map"},
        {"eval: {every_steps: 1,\n  every_epochs: 0}", "a.yaml:2:17: eval.every_epochs: eval.every_steps (a.yaml:1:21) "
                                                       "says the same already: give one of the two"},
        {"base: [a]", "a.yaml:1:7: base: must be the path of a file, not a list"},
        {"base:", "a.yaml:1:6: base: must be the path of a file, not ''"},
        {"base: none.yaml", "a.yaml:1:7: base: cannot open 'none.yaml': No such file or directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(parse(cases[i].yaml, strlen(cases[i].yaml)), cases[i].message);
}

static void bad_words_are_refused(void **state)
{
    static const struct {
        const char *word, *message;
    } cases[] = {
        {"optim.lrr=3", "command line: optim.lrr=3: unknown setting; did you mean 'optim.lr'?"},
        {"eval.foo=1", "command line: eval.foo=1: unknown setting; eval has every_steps, every_epochs"},
        {"nothing.foo=1", "command line: nothing.foo=1: unknown setting"},
        {"lr=3", "command line: lr=3: unknown setting; did you mean 'optim.lr'?"},
        {"optim.lr.x=3", "command line: optim.lr.x=3: unknown setting; did you mean 'optim.lr'?"},
        {"optim.lr", "command line: optim.lr: not of the form path=value"},
        {"=3", "command line: =3: not of the form path=value"},
        {"", "command line: : not of the form path=value"},
        {"optim.lr=x", "command line: optim.lr=x: must be a number, not 'x'"},
        {"optim.lr=", "command line: optim.lr=: has no value: write a number, or null for the default"},
        {"optim=3", "command line: optim=3: 'optim' is a section of settings, not one"},
        {"base=a.yaml", "command line: base=a.yaml: 'base' can only be set in a file"},
        {"optim.betas=[0.9", "command line: optim.betas=[0.9: not valid YAML: while parsing a flow sequence, did not "
                             "find expected ',' or ']'"},
        {"norm.alpha0.a.b=1", "command line: norm.alpha0.a.b=1: not a name: letters, digits, '_' and '-', up to 100"},
        {"norm.alpha0={a: 1, a: 2}", "command line: norm.alpha0={a: 1, a: 2}: duplicate key 'a'"},
        {"run.dir=", "command line: run.dir=: has no value: write a text, or null for the default"},
        {"run.name=\xFF", "command line: run.name=\xFF: not UTF-8: byte 0xFF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_settings *settings;
        assert_refused(dt_settings_load(NULL, &cases[i].word, 1, tables, TABLES, &settings), cases[i].message);
    }
}

static void a_name_is_one_plain_word_of_a_path(void **state)
{
    static const char *const names[] = {".", "..", "../esc", "/tmp/run", "a/b", "a/", "a\nb", "a\tb"};
    const char *known = ": must be a plain name (no '/', not . or .., no control characters, at most 255 bytes)";
    char word[400], longest[300];
    const char *const words[] = {word};
    dt_settings *settings;
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
        snprintf(word, sizeof word, "run.name=%s", i ? names[i - 1] : longest);
        assert_int_equal(dt_settings_load(NULL, words, 1, tables, TABLES, &settings), DT_ERR_USAGE);
        assert_non_null(strstr(dt_error_message(), known));
    }
    longest[255] = '\0';
    snprintf(word, sizeof word, "run.name=%s", longest);
    assert_int_equal(dt_settings_load(NULL, words, 1, tables, TABLES, &settings), DT_OK);
    dt_settings_free(settings);
}

static void a_long_text_is_cut_in_its_message(void **state)
{
    char *word = malloc(100000);
    const char *const words[] = {word};
    dt_settings *settings;
    assert_non_null(word);
    memset(word, 'x', 100000);
    memcpy(word, "run.dir=", 8);
    word[99999] = '\0';
    assert_int_equal(dt_settings_load(NULL, words, 1, tables, TABLES, &settings), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "xxx...' has 99991 bytes, more than the 4095 allowed"));
    assert_true(strlen(dt_error_message()) < 300);
    free(word);
}

static void one_source_gives_one_of_a_pair(void **state)
{
    const char *const words[] = {"eval.every_epochs=2", "eval.every_steps=1"};
    dt_settings *settings;
    assert_refused(dt_settings_load(NULL, words, 2, tables, TABLES, &settings),
                   "command line: eval.every_steps=1: 'command line: eval.every_epochs=2' says the same already: give "
                   "one of the two");
}

/* `count` times `part`, after `start`. */
static char *repeat(const char *start, const char *part, size_t count)
{
    char *text = malloc(strlen(start) + strlen(part) * count + 1), *end;
    assert_non_null(text);
    end = stpcpy(text, start);
    for (size_t i = 0; i < count; i++) end = stpcpy(end, part);
    return text;
}

static void bombs_are_refused_within_a_second(void **state)
{
    static const struct {
        const char *start, *part;
        size_t count;
        const char *message;
    } cases[] = {
        {"seed: ", "[", 1000000, "a.yaml:1:22: nested deeper than 16 levels"},
        {"seed: ", "{a: ", 200000, "a.yaml:1:67: nested deeper than 16 levels"},
        {"a: [", "1,", 500000, "a.yaml:1:20001: more than 10000 values"},
        {"", "a", 1000,
         "a.yaml:1:1: must be a map of settings, not "
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"},
        {"", "#", 1 << 21, "a.yaml: has 2097152 bytes, more than the 1048576 allowed"},
        {"a: &a [x]\nb: ", "[*a, *a]\nc: ", 10000, "a.yaml:1:4: anchors and aliases are not allowed"},
        {"", "- ", 500000, "a.yaml:1:33: nested deeper than 16 levels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *yaml = repeat(cases[i].start, cases[i].part, cases[i].count);
        double start = dt_clock();
        assert_refused(parse(yaml, strlen(yaml)), cases[i].message);
        assert_true(dt_clock() - start < 1);
        free(yaml);
    }
    char *key = repeat("", "k", 200), *yaml = repeat(key, ": 1", 1);
    assert_int_equal(parse(yaml, strlen(yaml)), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "is too long"));
    free(key);
    free(yaml);
}

static void a_huge_file_is_refused_unread(void **state)
{
    char path[] = "dt-huge-XXXXXX", message[128];
    dt_settings *settings;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && ftruncate(fd, 100 << 20) == 0);
    close(fd);
    double start = dt_clock();
    snprintf(message, sizeof message, "'%s' has 104857600 bytes, more than the 1048576 allowed here", path);
    assert_refused(dt_settings_load(path, NULL, 0, tables, TABLES, &settings), message);
    assert_true(dt_clock() - start < 1);
    unlink(path);
    assert_refused(dt_settings_load(".", NULL, 0, tables, TABLES, &settings), "cannot read '.': it is a folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts_are_refused_with_their_place),
        cmocka_unit_test(unknown_settings_name_the_nearest),
        cmocka_unit_test(bad_values_are_refused_with_their_path),
        cmocka_unit_test(bad_words_are_refused),
        cmocka_unit_test(a_name_is_one_plain_word_of_a_path),
        cmocka_unit_test(a_long_text_is_cut_in_its_message),
        cmocka_unit_test(one_source_gives_one_of_a_pair),
        cmocka_unit_test(bombs_are_refused_within_a_second),
        cmocka_unit_test(a_huge_file_is_refused_unread),
    };
    return cmocka_run_group_tests_name("config/refusals", tests, NULL, NULL);
}
