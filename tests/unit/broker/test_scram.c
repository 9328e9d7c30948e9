/* SCRAM by the vectors of RFC 7677, hostile messages, and the file of users. */
#include "place.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "broker/users.h"

static struct weir_slice text_slice(const char *text)
{
    return weir_slice(text, strlen(text));
}

static void credential_of(enum scram_hash hash, const char *password,
                          struct scram_credential *credential)
{
    size_t bytes;
    *credential = (struct scram_credential){.iterations = 4096};
    assert_int_equal(scram_base64_read(text_slice("W22ZaJ0SNY7soEsUEjb6gQ=="), credential->salt,
                                       SCRAM_SALT_BYTES_MAX, &bytes),
                     WEIR_OK);
    credential->salt_bytes = (uint32_t)bytes;
    assert_int_equal(scram_derive(hash, text_slice(password), credential), WEIR_OK);
}

/* The whole exchange; gives how it ended and, in *out, our last message. */
static enum weir_err exchange(enum scram_hash hash, const char *first, const char *final,
                              const char *challenge, struct weir_buffer *out,
                              struct weir_error *error)
{
    struct scram_exchange scram;
    struct scram_credential credential;
    credential_of(hash, "pencil", &credential);
    weir_buffer_clear(out);
    scram_exchange_init(&scram, hash);
    enum weir_err err = scram_read_first(&scram, text_slice(first), error);
    if (err == WEIR_OK) {
        assert_int_equal(
            scram_challenge(&scram, &credential, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", out), WEIR_OK);
        if (challenge)
            assert_string_equal(weir_buffer_text(out), challenge);
        weir_buffer_clear(out);
        err = scram_finish(&scram, text_slice(final), out, error);
    }
    scram_exchange_release(&scram);
    return err;
}

#define NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define CHALLENGE "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF_256 "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define PROOF_512                                                                                  \
    "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ=="
#define SIGNATURE_512                                                                              \
    "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="

static void the_vectors_hold(void **state)
{
    struct weir_error error;
    struct weir_buffer out;
    (void)state;
    weir_buffer_init(&out, 4096);
    assert_int_equal(
        exchange(SCRAM_SHA_256, FIRST, "c=biws,r=" NONCE ",p=" PROOF_256, CHALLENGE, &out, &error),
        WEIR_OK);
    assert_string_equal(weir_buffer_text(&out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_int_equal(
        exchange(SCRAM_SHA_512, FIRST, "c=biws,r=" NONCE ",p=" PROOF_512, CHALLENGE, &out, &error),
        WEIR_OK);
    assert_string_equal(weir_buffer_text(&out), "v=" SIGNATURE_512);
    weir_buffer_release(&out);
}

static void what_is_wrong_is_refused(void **state)
{
    static const struct {
        const char *first, *final;
        enum weir_err err;
    } cases[] = {
        /* another proof, of the right and of a wrong length */
        {FIRST, "c=biws,r=" NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", WEIR_DENIED},
        {FIRST, "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9yg==", WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE ",p=", WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE, WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE ",p=" PROOF_256 ",x=y", WEIR_PARSE},
        /* what the proof is about was changed */
        {FIRST, "c=biws,r=" NONCE ",x=y,p=" PROOF_256, WEIR_DENIED},
        {"n,,n=User,r=rOprNGfwEbeRWgbNEkqO", "c=biws,r=" NONCE ",p=" PROOF_256, WEIR_DENIED},
        {FIRST, "c=biws,r=" NONCE "x,p=" PROOF_256, WEIR_PARSE},
        {FIRST, "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=" PROOF_256, WEIR_DENIED},
        {FIRST, "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF_256, WEIR_PARSE},
        {"y,,n=user,r=rOprNGfwEbeRWgbNEkqO", "c=biws,r=" NONCE ",p=" PROOF_256, WEIR_PARSE},
        {FIRST, "c=eSws,r=" NONCE ",p=" PROOF_256, WEIR_PARSE},
        /* bad base64 */
        {FIRST, "c=biw,r=" NONCE ",p=" PROOF_256, WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndV_=", WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=", WEIR_PARSE},
        {FIRST, "c=biws,r=" NONCE ",p=dHzb=apWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", WEIR_PARSE},
        {FIRST, "", WEIR_PARSE},
        {FIRST, "p=" PROOF_256, WEIR_PARSE},
        /* first messages */
        {"p=tls-unique,,n=user,r=abc", "", WEIR_UNSUPPORTED},
        {"", "", WEIR_PARSE},
        {"n", "", WEIR_PARSE},
        {"n,", "", WEIR_PARSE},
        {"n,,", "", WEIR_PARSE},
        {"n,,n=", "", WEIR_PARSE},
        {"n,,n=,r=abc", "", WEIR_PARSE},
        {"n,,n=user", "", WEIR_PARSE},
        {"n,,n=user,r=", "", WEIR_PARSE},
        {"n,,n=user,r=a\tb", "", WEIR_PARSE},
        {"n,,m=x,n=user,r=abc", "", WEIR_PARSE},
        {"n,,n=user,r=abc,m=x", "", WEIR_PARSE},
        {"n,,n=user,r=abc,", "", WEIR_PARSE},
        {"n,,n=us=er,r=abc", "", WEIR_PARSE},
        {"n,,n=user=2,r=abc", "", WEIR_PARSE},
        {"n,,n=user=,r=abc", "", WEIR_PARSE},
        {"n,a=other,n=user,r=abc", "", WEIR_DENIED},
        {"n,a=,n=user,r=abc", "", WEIR_PARSE},
    };
    struct weir_buffer out;
    (void)state;
    weir_buffer_init(&out, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_error error = {.code = WEIR_OK};
        enum weir_err err =
            exchange(SCRAM_SHA_256, cases[i].first, cases[i].final, NULL, &out, &error);
        if (err != cases[i].err)
            fail_msg("%s | %s gives %s, not %s", cases[i].first, cases[i].final, weir_err_name(err),
                     weir_err_name(cases[i].err));
        assert_int_equal(error.code, err);
        assert_int_equal(out.bytes, 0);
    }
    weir_buffer_release(&out);
}

static void lengths_have_an_end(void **state)
{
    char message[SCRAM_EXCHANGE_BYTES_MAX];
    struct scram_exchange scram;
    struct weir_error error;
    (void)state;
    scram_exchange_init(&scram, SCRAM_SHA_512);
    snprintf(message, sizeof message, "n,,n=%0*d,r=abc", SCRAM_NAME_BYTES_MAX, 0);
    assert_int_equal(scram_read_first(&scram, text_slice(message), &error), WEIR_OK);
    snprintf(message, sizeof message, "n,,n=%0*d,r=abc", SCRAM_NAME_BYTES_MAX + 1, 0);
    assert_int_equal(scram_read_first(&scram, text_slice(message), &error), WEIR_PARSE);
    snprintf(message, sizeof message, "n,,n=u,r=%0*d", SCRAM_NONCE_BYTES_MAX, 0);
    assert_int_equal(scram_read_first(&scram, text_slice(message), &error), WEIR_OK);
    snprintf(message, sizeof message, "n,,n=u,r=%0*d", SCRAM_NONCE_BYTES_MAX + 1, 0);
    assert_int_equal(scram_read_first(&scram, text_slice(message), &error), WEIR_PARSE);
    snprintf(message, sizeof message, "n,,n=u,r=a,x=%0*d", SCRAM_MESSAGE_BYTES_MAX, 0);
    assert_int_equal(scram_read_first(&scram, text_slice(message), &error), WEIR_PARSE);
    scram_exchange_release(&scram);
}

static void names_are_unescaped(void **state)
{
    struct scram_exchange scram;
    struct weir_error error;
    (void)state;
    scram_exchange_init(&scram, SCRAM_SHA_256);
    assert_int_equal(
        scram_read_first(&scram, text_slice("n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc,x=1"), &error),
        WEIR_OK);
    assert_string_equal(scram.name, "a,b=c");
    assert_int_equal(scram.name_bytes, 5);
    scram_exchange_release(&scram);
}

static void base64_is_strict_and_whole(void **state)
{
    static const char *const texts[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; /* RFC 4648, 10 */
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "=m9v", "Zm9v=", "Zg==Zg==", "Zm 9v", "Zm9\n"};
    struct weir_buffer out;
    uint8_t bytes[8];
    size_t count;
    (void)state;
    weir_buffer_init(&out, 64);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        weir_buffer_clear(&out);
        assert_int_equal(scram_base64_put("foobar", i, &out), WEIR_OK);
        assert_string_equal(weir_buffer_text(&out), texts[i]);
        assert_int_equal(scram_base64_read(text_slice(texts[i]), bytes, i, &count), WEIR_OK);
        assert_int_equal(count, i);
        assert_memory_equal(bytes, "foobar", i);
        if (i)
            assert_int_equal(scram_base64_read(text_slice(texts[i]), bytes, i - 1, &count),
                             WEIR_LIMIT);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(scram_base64_read(text_slice(bad[i]), bytes, sizeof bytes, &count),
                         WEIR_PARSE);
    weir_buffer_release(&out);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void a_file_of_users_comes_back(void **state)
{
    struct place place;
    struct users *users;
    struct weir_error error;
    struct stat status;
    char path[128], text[4096] = "";
    (void)state;
    place_init(&place);
    snprintf(path, sizeof path, "%s/users", place.dir);
    assert_int_equal(users_load(path, &users, &error), WEIR_NOT_FOUND);
    assert_non_null(strstr(error.message, "weir users add"));
    assert_int_equal(users_new(&users, &error), WEIR_OK);
    assert_int_equal(users_put(users, text_slice("alice"), text_slice("secret one"), &error),
                     WEIR_OK);
    assert_int_equal(users_put(users, text_slice("b,o=b"), text_slice("pässword"), &error),
                     WEIR_OK);
    assert_int_equal(users_put(users, text_slice("gone"), text_slice("x"), &error), WEIR_OK);
    assert_true(users_remove(users, text_slice("gone")));
    assert_false(users_remove(users, text_slice("gone")));
    assert_int_equal(users_put(users, text_slice("a\tb"), text_slice("x"), &error), WEIR_INVALID);
    assert_int_equal(users_put(users, text_slice(""), text_slice("x"), &error), WEIR_INVALID);
    assert_int_equal(users_put(users, text_slice("c"), text_slice(""), &error), WEIR_INVALID);
    assert_int_equal(users_save(users, path, &error), WEIR_OK);
    users_free(users);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    FILE *file = fopen(path, "r");
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "ssword"));

    assert_int_equal(users_load(path, &users, &error), WEIR_OK);
    assert_int_equal(weir_map_count(&users->map), 2);
    struct user *alice = users_find(users, text_slice("alice"));
    struct user *bob = users_find(users, text_slice("b,o=b"));
    assert_null(users_find(users, text_slice("gone")));
    assert_memory_not_equal(alice->credentials[0].salt, bob->credentials[0].salt, SCRAM_SALT_BYTES);
    for (int hash = 0; hash < SCRAM_HASHES; hash++)
        assert_true(scram_is_password((enum scram_hash)hash, text_slice("pässword"),
                                      &bob->credentials[hash]));
    assert_false(users_check_fast(users, alice, text_slice("secret one")));
    assert_false(users_check_slow(users, alice, text_slice("secret two")));
    assert_true(users_check_slow(users, alice, text_slice("secret one")));
    assert_true(users_check_fast(users, alice, text_slice("secret one")));
    assert_false(users_check_fast(users, alice, text_slice("secret two")));
    assert_false(users_check_slow(users, NULL, text_slice("secret one")));
    users_free(users);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(users_load(path, &users, &error), WEIR_DENIED);
    assert_non_null(strstr(error.message, "chmod 600"));
    place_release(&place);
}

static void a_damaged_file_is_named_with_its_line(void **state)
{
#define KEY_256 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_512                                                                                    \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define REST "\tSCRAM-SHA-512\t4096\tAAAAAAAAAAA=\t" KEY_512 "\t" KEY_512 "\n"
    static const struct {
        const char *text;
        enum weir_err err;
        int64_t line;
    } cases[] = {
        {"weir-users 1\n", WEIR_OK, -1},
        {"weir-users 1\nu\tSCRAM-SHA-256\t4096\tAAAAAAAAAAA=\t" KEY_256 "\t" KEY_256 REST, WEIR_OK,
         -1},
        {"", WEIR_OTHER_VERSION, 1},
        {"weir-users 2\n", WEIR_OTHER_VERSION, 1},
        {"weir-users 1", WEIR_CORRUPT, 1},
        {"weir-users 1\nu\n", WEIR_CORRUPT, 2},
        {"weir-users 1\n\n", WEIR_INVALID, 2},
        {"weir-users 1\nu\tSCRAM-SHA-256\t4095\tAAAAAAAAAAA=\t" KEY_256 "\t" KEY_256 REST,
         WEIR_CORRUPT, 2},
        {"weir-users 1\nu\tSCRAM-SHA-256\t99999\tAAAAAAAAAAA=\t" KEY_256 "\t" KEY_256 REST,
         WEIR_CORRUPT, 2},
        {"weir-users 1\nu\tSCRAM-SHA-256\t4096\tAAAA\t" KEY_256 "\t" KEY_256 REST, WEIR_CORRUPT, 2},
        {"weir-users 1\nu\tSCRAM-SHA-256\t4096\tAAAAAAAAAAA=\t" KEY_512 "\t" KEY_256 REST,
         WEIR_CORRUPT, 2},
        {"weir-users 1\nu\tSCRAM-SHA-1\t4096\tAAAAAAAAAAA=\t" KEY_256 "\t" KEY_256 REST,
         WEIR_CORRUPT, 2},
    };
    struct place place;
    char path[128];
    (void)state;
    place_init(&place);
    snprintf(path, sizeof path, "%s/users", place.dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_error error = {.code = WEIR_OK};
        struct users *users = NULL;
        FILE *file = fopen(path, "w");
        assert_true(fputs(cases[i].text, file) >= 0);
        fclose(file);
        assert_int_equal(chmod(path, 0600), 0);
        enum weir_err err = users_load(path, &users, &error);
        if (err != cases[i].err)
            fail_msg("case %zu gives %s: %s", i, weir_err_name(err), error.message);
        if (err != WEIR_OK)
            assert_non_null(strstr(error.message, path));
        users_free(users);
    }
    place_release(&place);
}

static void no_memory_breaks_nothing(void **state)
{
    struct place place;
    char path[128];
    struct weir_error error;
    struct users *users;
    (void)state;
    place_init(&place);
    snprintf(path, sizeof path, "%s/users", place.dir);
    assert_int_equal(users_new(&users, &error), WEIR_OK);
    assert_int_equal(users_put(users, text_slice("u"), text_slice("p"), &error), WEIR_OK);
    assert_int_equal(users_save(users, path, &error), WEIR_OK);
    users_free(users);
    for (uint64_t n = 1;; n++) {
        struct users *loaded = NULL;
        weir_alloc_watch_start(n);
        enum weir_err err = users_load(path, &loaded, &error);
        if (err == WEIR_OK)
            err = users_put(loaded, text_slice("v"), text_slice("q"), &error);
        if (err == WEIR_OK)
            err = users_save(loaded, path, &error);
        struct weir_alloc_counts counts = weir_alloc_watch_stop();
        users_free(loaded);
        if (!counts.failed) {
            assert_int_equal(err, WEIR_OK);
            break;
        }
        assert_int_equal(err, WEIR_NOMEM);
    }
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_hold),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(lengths_have_an_end),
        cmocka_unit_test(names_are_unescaped),
        cmocka_unit_test(base64_is_strict_and_whole),
        cmocka_unit_test(a_file_of_users_comes_back),
        cmocka_unit_test(a_damaged_file_is_named_with_its_line),
        cmocka_unit_test(no_memory_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
