// A search for a name leads to its entry in the reference first, and among several entries
// to the one with the shortest name: `within.timeout` before `within.ProcessTimeout.timeout`.
var Scorer = {
  score: ([page, title, anchor, description, score, file, kind]) =>
    kind === "object" ? score - title.split(".").length : score,
  objNameMatch: 60,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
