/*
 * bench/source_text.h - what smtp-source says: MAIL, RCPT and content of message number N.
 *
 * A message's text depends only on the options and its number, so a partly sent one can be taken up
 * again.
 *
 * Owner:  made by main(), read by all threads.
 * Memory: one copy of the body for all messages.
 */
#ifndef BENCH_SOURCE_TEXT_H
#define BENCH_SOURCE_TEXT_H
#include "bench/outbuf.h"
#include "bench/source_opts.h"

struct source_text {
	const struct source_opts *opts;
	char *tail; /* all that follows the fields with the id: fields of -F, empty line, body,
		       final dot */
	size_t tail_n;
	bool has_fields; /* tail brings its own header fields (-F) */
	uint32_t crc;    /* of the body */
};

/* Builds the body. 0, -errno of reading -F's file, -ENOMEM. */
int source_text_init(struct source_text *t, const struct source_opts *o);
void source_text_free(struct source_text *t);

/* Append "MAIL FROM:<...>" and "RCPT TO:<...>" with CR LF; i counts recipients from 0. */
void source_text_mail(const struct source_text *t, struct outbuf *out, uint32_t number);
void source_text_rcpt(const struct source_text *t, struct outbuf *out, uint32_t number, uint32_t i);

/* The recipient's address alone, and the id. */
void source_text_rcpt_addr(const struct source_text *t, struct outbuf *out, uint32_t number,
			   uint32_t i);
void source_text_id(const struct source_text *t, struct outbuf *out, uint32_t number);

/* The header fields that differ from message to message; tail follows them. now_usec: monotonic. */
void source_text_head(const struct source_text *t, struct outbuf *out, uint32_t number,
		      usec_t now_usec);

#endif
