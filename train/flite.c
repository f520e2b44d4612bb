/* Reads one line of text at a time and writes what flite knows of it, without rendering sound.
 *
 *   cc -O2 flite.c -lflite_cmu_us_slt -lflite_usenglish -lflite_cmulex -lflite -lm -o flite
 *   ./flite words < words.txt        one line each: the word, then its phones with stress digits
 *   ./flite utterances < lines.txt   one record each, as below
 *
 * Record: int32 segments, frames, channels. Per segment char[8] phone, float32 end in seconds, int32 token (-1: none).
 * Then float32 [frames][channels], one frame each 5 ms: channel 0 is f0 in Hz (0 where unvoiced), the others are the mel
 * cepstrum (25 coefficients, alpha 0.42, of a spectrum up to 8 kHz).
 */
#include <flite/flite.h>
#include <flite/cst_cg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *voxdir);

/* Ends the rendering of the waveform at its first buffer. */
static int stop_now(const cst_wave *w, int start, int size, int last, cst_audio_streaming_info *asi) {
    (void)w; (void)start; (void)size; (void)last; (void)asi;
    return CST_AUDIO_STREAM_STOP;
}

static void put_int(int v) { fwrite(&v, 4, 1, stdout); }
static void put_float(float v) { fwrite(&v, 4, 1, stdout); }

static void put_word(cst_lexicon *lexicon, const char *word) {
    cst_val *phones = lex_lookup(lexicon, word, NULL, NULL);
    printf("%s", word);
    for (const cst_val *p = phones; p; p = val_cdr(p)) printf(" %s", val_string(val_car(p)));
    printf("\n");
    delete_val(phones);
}

/* Number of the token that a segment belongs to, or -1 (pauses). */
static int token_of(cst_item *segment) {
    cst_item *i = item_as(segment, "SylStructure");
    i = i ? item_parent(i) : NULL; /* syllable */
    i = i ? item_parent(i) : NULL; /* word */
    i = i ? item_as(i, "Token") : NULL;
    i = i ? item_parent(i) : NULL; /* token */
    return i ? item_feat_int(i, "idx") : -1;
}

static void put_utterance(cst_voice *voice, cst_cg_db *db, const char *text) {
    cst_utterance *u = flite_synth_text(text, voice);
    int tokens = 0, segments = 0;
    cst_item *i;
    for (i = relation_head(utt_relation(u, "Token")); i; i = item_next(i)) item_set_int(i, "idx", tokens++);
    for (i = relation_head(utt_relation(u, "Segment")); i; i = item_next(i)) segments++;
    /* Means and deviations as predicted; mlpg smooths them into one trajectory. */
    cst_track *t = mlpg(val_track(feat_val(u->features, "param_track")), db);
    put_int(segments); put_int(t->num_frames); put_int(t->num_channels);
    for (i = relation_head(utt_relation(u, "Segment")); i; i = item_next(i)) {
        char name[8] = {0};
        strncpy(name, item_feat_string(i, "name"), 7);
        fwrite(name, 1, 8, stdout);
        put_float(item_feat_float(i, "end"));
        put_int(token_of(i));
    }
    for (int f = 0; f < t->num_frames; f++) fwrite(t->frames[f], 4, t->num_channels, stdout);
    delete_track(t);
    delete_utterance(u);
}

int main(int argc, char **argv) {
    if (argc != 2 || (strcmp(argv[1], "words") && strcmp(argv[1], "utterances"))) {
        fprintf(stderr, "usage: flite words|utterances < lines\n");
        return 2;
    }
    flite_init();
    cst_voice *voice = register_cmu_us_slt(NULL);
    cst_audio_streaming_info *asi = new_audio_streaming_info();
    asi->min_buffsize = 64;
    asi->asc = stop_now;
    feat_set(voice->features, "streaming_info", audio_streaming_info_val(asi));
    cst_lexicon *lexicon = val_lexicon(feat_val(voice->features, "lexicon"));
    cst_cg_db *db = val_cg_db(feat_val(voice->features, "cg_db"));
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (argv[1][0] == 'w') put_word(lexicon, line);
        else put_utterance(voice, db, line);
    }
    return 0;
}
