/*
 * resolver/clientcheck.h - may this client connect? R 3.12.2, checks during connect.
 *
 * Any thread, in a read section; no memory of its own.
 */
#ifndef RESOLVER_CLIENTCHECK_H
#define RESOLVER_CLIENTCHECK_H
#include "resolver/ask.h"

/* Steps for MSG_ask_client: client and flags are the question. */
extern ask_step *const clientcheck_steps[];

#endif
