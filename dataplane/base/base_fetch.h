/* Fetching memory ahead. */
#ifndef BASE_FETCH_H
#define BASE_FETCH_H

/* Of functions that do nothing but to fetch ahead: gcc 12 takes these for ones without any effect and
 * leaves out their calls, but for those that are inlined first. */
#define BASE_FETCHES inline __attribute__((always_inline))

#endif
