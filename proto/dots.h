/*
 * proto/dots.h - message content on its way in and out: end of data, dot-stuffing, line ends, and
 * what is learned of it in passing.
 *
 * Content is kept in wire form: CRLF lines, a dot at the begin of a line doubled, no final dot. The
 * scanner takes what the client sends in pieces of any size and hands out the pieces to keep.
 * Owner:     one session.
 * Memory:    embedded; no I/O, keeps no pointer.
 * Invariant: only CRLF.CRLF ends DATA, and what comes out never holds it, nor (unless raw) a bare
 *            CR or LF when newlines are fixed. Where `hidden` is set it could be taken for it.
 * Limits:    state has a fixed size whatever comes; a Message-Id is kept up to DOTS_MSGID_MAX
 *            bytes.
 * RFC:       5321 2.3.8, 4.1.1.4, 4.5.2, 6.3; 3030 for chunks.
 */
#ifndef PROTO_DOTS_H
#define PROTO_DOTS_H
#include "core/span.h"

enum dots_mode {
	DOTS_DATA = 0, /* stuffed, ends at CRLF.CRLF */
	DOTS_CHUNK,    /* BDAT: not stuffed, ends when the caller says so */
	DOTS_RAW,      /* BDAT with BINARYMIME: kept as it is */
};

enum dots_step {
	DOTS_MORE = 0, /* all of the input was used */
	DOTS_PIECE,    /* keep *piece, then call again */
	DOTS_END,      /* CRLF.CRLF was seen; what is left of the input is a command */
};

enum { DOTS_NAME_MAX = 16, DOTS_MSGID_MAX = 250 };

struct dots {
	/* What is known so far. */
	uint64_t bytes;        /* handed out */
	uint64_t dots;         /* of these: dots that were stuffed */
	uint64_t header_bytes; /* header section, without the empty line */
	uint64_t longest;      /* longest line without CRLF, unstuffed */
	uint32_t hops;         /* Received fields */
	bool bare;             /* a CR or LF alone was seen */
	bool hidden;           /* a line that for whoever drops NULs is a dot alone */
	bool eight_bit;
	bool in_header;
	uint8_t msgid_n;
	char msgid[DOTS_MSGID_MAX]; /* value of the first Message-Id field, unfolded, without outer
				       space */
	/* How it goes on. */
	uint8_t mode;
	bool fix;
	uint8_t state;
	uint8_t name_n;
	char name[DOTS_NAME_MAX]; /* begin of the header line */
	uint8_t field;
	uint8_t stuffed;  /* this line began with a stuffed dot */
	bool nuls;        /* this line is NULs so far, and at most one dot */
	uint8_t nul_dots; /* the dot among them */
	uint8_t insert_n; /* to be handed out next */
	char insert[2];
	uint64_t line; /* bytes in this line */
};

/* fix: bare CR and LF become CRLF; else they are kept and `bare` says that the message must be
 * refused. */
void dots_init(struct dots *d, enum dots_mode mode, bool fix);

/* Goes on through *in, which moves forward. A piece points into *in, or to a few bytes that
 * stay until the next call. */
enum dots_step dots_next(struct dots *d, struct span *in, struct span *piece);

/* After the last chunk: what must still be kept (a missing final CRLF); empty otherwise. */
struct span dots_finish(struct dots *d);

/* Size as the client knows it: without what stuffing added. */
static inline uint64_t dots_size(const struct dots *d)
{
	return d->bytes - d->dots;
}

/* Bytes of the header section so far, with a field that has not ended; never more than it is at the
 * end. */
uint64_t dots_header_size(const struct dots *d);

/* Wire form back to plain, for BDAT: dst has room for in.n bytes. *at_start: the next byte begins a
 * line; true at first. Returns the bytes in dst. */
size_t dots_unstuff(bool *at_start, struct span in, char *dst);

#endif
