/*
 * resolver/mailcheck.h - may this sender send? R 3.12.2, checks after MAIL.
 *
 * Any thread, in a read section; no memory of its own.
 */
#ifndef RESOLVER_MAILCHECK_H
#define RESOLVER_MAILCHECK_H
#include "resolver/ask.h"

/* Steps for MSG_ask_mail: client, flags and subject (the sender) are the question. */
extern ask_step *const mailcheck_steps[];

#endif
