/* A certificate authority for a test, and certificates of it, in PEM files. */
#ifndef WEIR_TESTS_BROKER_CERTIFICATES_H
#define WEIR_TESTS_BROKER_CERTIFICATES_H

/* Writes into the folder: ca.pem; server.pem (certificate and key, for localhost and 127.0.0.1);
 * client.pem and client.key; other.pem and other.key, of another authority. */
void certificates_make(const char *folder);

#endif
