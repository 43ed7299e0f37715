/*
 * core/hold.h - mcp starts a program, hears that its configuration is good, and lets it go on later.
 *
 * mcp gives the program one end of a socket pair as descriptor HOLD_FD and says so in the
 * environment. The program writes one byte when its configuration is good, and waits; up to there
 * it does nothing that others could see. mcp answers with one byte and a descriptor for stdout and
 * stderr. A note in the ELF file (HOLD_NOTE_*) says that a program knows all this.
 *
 * Owner:  main thread, before others start.
 * Memory: none.
 */
#ifndef CORE_HOLD_H
#define CORE_HOLD_H
#include <stdbool.h>

#define HOLD_VARIABLE  "SMX_HOLD"
#define HOLD_NOTE_NAME "smX"
enum { HOLD_FD = 3, HOLD_NOTE_TYPE = 1, HOLD_NOTE_VERSION = 1 };

/*
 * hold_point - the configuration is good. Returns false at once when nobody holds this process.
 * Else waits, without limit: true when it may go on, with other files as descriptors 1 and 2;
 * when mcp has gone or does not want it, it exits here, without a word.
 */
bool hold_point(void);

#endif
