/*
 * broker/config_about.h - what DescribeConfigs says of settings beside their values.
 *
 * One table for the settings of topics and for the broker's own, by Kafka's names; and the broker's
 * own settings as they are in force. Static; any thread.
 */
#ifndef BROKER_CONFIG_ABOUT_H
#define BROKER_CONFIG_ABOUT_H

#include "broker/inside.h"

/* The numbers are the protocol's. */
enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING = 2,
    CONFIG_INT = 3,
    CONFIG_LONG = 5,
    CONFIG_DOUBLE = 6,
    CONFIG_LIST = 7,
};

struct config_about {
    const char *name;
    enum config_type type;
    const char *synonym; /* of a topic's: the broker's setting that decides when it is not set */
    const char *text;    /* what it does, in a sentence */
};

/* Never NULL: a setting without an entry is a string without words. */
const struct config_about *broker_config_about(const char *name);

struct broker_config {
    const char *name;
    const char *default_text; /* NULL: there is none, it is always given or found at start */
};
extern const struct broker_config broker_configs[];
extern const size_t broker_config_count;

enum { BROKER_CONFIG_TEXT_MAX = 2304 }; /* a path, or an address behind its protocol */
/* The value in force. */
enum config_source broker_config_text(const struct weir_broker *broker,
                                      const struct broker_config *config,
                                      char text[BROKER_CONFIG_TEXT_MAX]);

#endif
