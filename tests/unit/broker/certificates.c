/* Certificates for a test: certificates.h. */
#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "cmocka_all.h"

struct holder {
    EVP_PKEY *key;
    X509 *certificate;
};

static void add_extension(X509 *certificate, int kind, const char *text)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, text);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* by NULL: an authority, signed by itself. */
static struct holder make(const char *name, const struct holder *by, const char *alternatives)
{
    static long serial;
    struct holder holder = {EVP_EC_gen("P-256"), X509_new()};
    assert_non_null(holder.key);
    X509 *x509 = holder.certificate;
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, holder.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(by ? by->certificate : x509));
    add_extension(x509, NID_basic_constraints, by ? "CA:FALSE" : "critical,CA:TRUE");
    if (alternatives)
        add_extension(x509, NID_subject_alt_name, alternatives);
    assert_true(X509_sign(x509, by ? by->key : holder.key, EVP_sha256()) > 0);
    return holder;
}

static void put(const struct holder *holder, const char *folder, const char *certificate_name,
                const char *key_name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, certificate_name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, holder->certificate), 1);
    if (key_name) {
        snprintf(path, sizeof path, "%s/%s", folder, key_name);
        assert_non_null(file = freopen(path, "a", file));
        assert_int_equal(PEM_write_PrivateKey(file, holder->key, NULL, NULL, 0, NULL, NULL), 1);
    }
    assert_int_equal(fclose(file), 0);
}

static void release(struct holder *holder)
{
    EVP_PKEY_free(holder->key);
    X509_free(holder->certificate);
}

void certificates_make(const char *folder)
{
    struct holder authority = make("test authority", NULL, NULL);
    struct holder server = make("localhost", &authority, "DNS:localhost,IP:127.0.0.1");
    struct holder client = make("client", &authority, NULL);
    struct holder stranger = make("another authority", NULL, NULL);
    struct holder other = make("other", &stranger, NULL);
    put(&authority, folder, "ca.pem", NULL);
    put(&server, folder, "server.pem", "server.pem");
    put(&client, folder, "client.pem", "client.key");
    put(&other, folder, "other.pem", "other.key");
    release(&authority);
    release(&server);
    release(&client);
    release(&stranger);
    release(&other);
}
