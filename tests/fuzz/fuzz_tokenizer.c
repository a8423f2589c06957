/* Tokenizers: the bytes as a tokenizer.json, as vocab.bpe beside a small vocabulary, and as encoder.json; a tokenizer
 * that opens encodes its own file, and gives it back. */
#include "byte_file.h"
#include "data/tokenizer.h"
#include "data/tokenizer_kinds.h"
#include "fuzz.h"

/* All bytes and a few pairs: {"Ā":0,...,"ab":256,...}. */
static byte_file small_vocabulary(void)
{
    static const char *const pairs[] = {"ab", "abc", "Ġa", "bc"};
    dt_text text = {0};
    int number = 0, hidden = 0;
    for (int b = 0; b < 256; b++) {
        bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        int code = visible ? b : 0x100 + hidden++;
        dt_text_add(&text, "%s\"\\u%04x\":%d", b ? "," : "{", (unsigned)code, number++);
    }
    for (int p = 0; p < 4; p++) dt_text_add(&text, ",\"%s\":%d", pairs[p], number++);
    dt_text_add(&text, "}");
    byte_file file = byte_file_open((const uint8_t *)text.data, text.length);
    dt_text_free(&text);
    return file;
}

static void use(dt_tokenizer *tokenizer, const uint8_t *data, size_t size)
{
    dt_encoder *encoder;
    dt_tokens tokens = {0};
    dt_text back = {0};
    if (dt_encoder_create(tokenizer, true, &encoder)) return;
    if (!dt_encoder_run(encoder, (const char *)data, size, &tokens) &&
        !dt_tokenizer_decode(tokenizer, tokens.token, tokens.count, &back) &&
        tokenizer->bpe.rule != DT_WORDS_SPACE && !tokenizer->bpe.prefix_space && back.length != size)
        abort();
    dt_text_free(&back);
    free(tokens.token);
    dt_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    byte_file file = byte_file_open(data, size), small = small_vocabulary();
    byte_file none = byte_file_open((const uint8_t *)"", 0);
    for (int form = 0; form < 3; form++) {
        dt_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
        if (!tokenizer) abort();
        dt_status status = form == 0   ? dt_tokenizer_read_json(file.path, &tokenizer->bpe)
                           : form == 1 ? dt_tokenizer_read_gpt2(small.path, file.path, &tokenizer->bpe)
                                       : dt_tokenizer_read_gpt2(file.path, none.path, &tokenizer->bpe);
        if (!status) use(tokenizer, data, size);
        dt_tokenizer_close(tokenizer);
    }
    byte_file_close(&file);
    byte_file_close(&small);
    byte_file_close(&none);
    return 0;
}
