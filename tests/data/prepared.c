/* Prepares tokens for tests, and reads them back. */
#include "prepared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "data/shard.h"

char prepared_tokenizers[4096];

dt_prepare_options options_for(const char *tokenizer, const char *out, const char *const *paths, int count)
{
    static char path[2][4200];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", prepared_tokenizers, tokenizer);
    return (dt_prepare_options){.tokenizer = strcmp(tokenizer, "bytes") ? path[turn] : tokenizer, .out = out,
                                .paths = paths, .path_count = count, .field = "text", .shard_tokens = 1 << 30,
                                .special = true, .threads = 2};
}

dt_prepare_counts prepare(const dt_prepare_options *o)
{
    dt_prepare_counts counts;
    if (dt_prepare_tokens(o, &counts)) fail_msg("%s", dt_error_message());
    return counts;
}

dt_tokens read_all(const char *folder, const char *split)
{
    dt_tokens all = {0};
    for (int s = 0;; s++) {
        char path[256];
        dt_shard *shard;
        snprintf(path, sizeof path, "%s/%s-%05d.tokens", folder, split, s);
        if (!dt_file_exists(path)) return all;
        if (dt_shard_open(path, &shard)) fail_msg("%s", dt_error_message());
        assert_int_equal(dt_tokens_reserve(&all, shard->tokens), DT_OK);
        assert_int_equal(dt_shard_read(shard, 0, shard->tokens, all.token + all.count), DT_OK);
        all.count += shard->tokens;
        dt_shard_free(shard);
    }
}

dt_text json_lines(void)
{
    dt_text lines = {0};
    for (int i = 0; i < 300; i++)
        dt_text_add(&lines, "{\"meta\":{\"n\":%d,\"id\":18446744073709551615},"
                    "\"text\":\"Document %d \\u00e9\\n says \\\"%d\\\".\"}\n%s", i, i, i * i, i % 7 ? "" : "\n");
    return lines;
}
