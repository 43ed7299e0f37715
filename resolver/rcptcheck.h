/*
 * resolver/rcptcheck.h - may mail go to this recipient, and where? R 3.12.2, checks after RCPT.
 *
 * Any thread, in a read section; no memory of its own.
 */
#ifndef RESOLVER_RCPTCHECK_H
#define RESOLVER_RCPTCHECK_H
#include "resolver/ask.h"

/* Steps for MSG_ask_rcpt: client, flags, sender and subject (the recipient) are the question. */
extern ask_step *const rcptcheck_steps[];

/* The same with MSG_ASK_NOTICE: only subject is the question, aliases are followed, nothing is
 * checked. */
extern ask_step *const rcptcheck_notice_steps[];

/* Steps for MSG_ask_route: only subject is the question, only the route the answer; the address is
 * final, it is not followed again. */
extern ask_step *const rcptcheck_route_steps[];

#endif
