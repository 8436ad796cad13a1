// A search for a name leads to its entry in the reference first, and among several entries
// to the one with the shortest name: `within.timeout` before `within.ProcessTimeout.timeout`.
// Among pages that mention a word equally often, one that answers a question comes first.
var Scorer = {
  places: [
    [/^howto\/index/, 1], [/^howto\//, 4], [/^windows/, 2], [/^reference\//, 2],
    [/^migration\//, -3], [/^(changelog|architecture)/, -4],
  ],
  score: ([page, title, anchor, description, score, file, kind]) => {
    if (kind === "object") return score - title.split(".").length;
    const place = Scorer.places.find(([pattern]) => pattern.test(page));
    return score + (place ? place[1] : 0);
  },
  objNameMatch: 60,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
