#include "core/conf_near.h"

#include <string.h>
#include "core/span.h"

enum { LONGEST = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Optimal string alignment: three rows of the usual table. */
static unsigned distance(const char *a, size_t an, const char *b, size_t bn)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *two_up = rows[0];
	unsigned *up = rows[1];
	unsigned *now = rows[2];

	for (size_t j = 0; j <= bn; j++)
		up[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		char x = ascii_lower(a[i - 1]);

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			char y = ascii_lower(b[j - 1]);

			now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b[j - 2]) &&
			    y == ascii_lower(a[i - 2]) && two_up[j - 2] + 1 < now[j])
				now[j] = two_up[j - 2] + 1;
		}
		unsigned *free_row = two_up;
		two_up = up;
		up = now;
		now = free_row;
	}
	return up[bn];
}

void conf_near_try(struct conf_near *n, const char *candidate)
{
	size_t wn = strlen(n->word);
	size_t cn = strlen(candidate);
	unsigned limit = wn < 6 ? 1 : (unsigned)(wn / 3);

	if (!wn || wn > LONGEST || cn > LONGEST)
		return;
	unsigned d = distance(n->word, wn, candidate, cn);
	if (d > limit || d >= cn || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}
