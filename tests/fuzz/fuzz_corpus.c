/* A corpus: the bytes as text, plain or packed, and as JSON lines. */
#include "byte_file.h"
#include "data/corpus.h"
#include "fuzz.h"

static void read_lines(const dt_pieces *pieces)
{
    for (int64_t i = 0; i < pieces->count; i++) {
        dt_text text = {0};
        dt_status status = dt_json_line_text(pieces->text.data + pieces->piece[i].at, pieces->piece[i].bytes, "text",
                                             &text);
        if (!status && !text.failed && text.length > pieces->piece[i].bytes) abort();
        dt_text_free(&text);
    }
}

static void read_corpus(const char *path, const dt_tokenizer *tokenizer)
{
    dt_corpus *corpus;
    dt_pieces pieces = {0};
    if (dt_corpus_open(&path, 1, NULL, false, tokenizer, &corpus)) return;
    while (!dt_corpus_read(corpus, 1000, &pieces) && pieces.count)
        if (pieces.piece[0].json) read_lines(&pieces);
    dt_pieces_free(&pieces);
    dt_corpus_close(corpus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_tokenizer *tokenizer;
    byte_file file = byte_file_open(data, size);
    char folder[] = "/tmp/dt-fuzz-XXXXXX", link[64]; /* a name that ends in .jsonl */
    if (!mkdtemp(folder) || dt_tokenizer_open("bytes", &tokenizer)) abort();
    snprintf(link, sizeof link, "%s/x.jsonl", folder);
    if (symlink(file.path, link)) abort();
    read_corpus(file.path, tokenizer);
    read_corpus(link, tokenizer);
    unlink(link);
    rmdir(folder);
    dt_tokenizer_close(tokenizer);
    byte_file_close(&file);
    return 0;
}
