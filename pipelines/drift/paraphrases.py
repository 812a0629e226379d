"""One request in ten other wordings, around the same history and candidates; lethe-tiny's corpus holds none of them."""

from collections.abc import Mapping

from llm.prompt import JSON_ONLY, NO, YES, Wording

_PLAIN = f"Say {YES} or {NO}."

PARAPHRASES: Mapping[str, Wording] = {
    "films": Wording(
        liked="Films that somebody enjoyed:",
        judge=f"Is the next film something for them? {_PLAIN}",
        candidate="Film:",
        candidates="Films to choose from:",
        best="Give the letter of the film that suits them most.",
        order=f"Sort these films, the most suitable one first, and use every number once. {JSON_ONLY}",
        free="Pick the film that suits them most and say what speaks for it.",
    ),
    "viewer": Wording(
        liked="This viewer has watched and praised:",
        profile="In short:",
        judge=f"Should this title be shown to the viewer? Reply {YES} or {NO}.",
        candidate="Title:",
        candidates="Titles on offer:",
        best="Which title should be shown to the viewer? Reply with one letter.",
        order=f"Put the titles in the order in which the viewer should be shown them, each number once. {JSON_ONLY}",
        free="Which title should be shown to the viewer first, and for what reason?",
    ),
    "friend": Wording(
        liked="My friend is fond of these:",
        judge=f"I think of giving my friend this one. Will it please them, {YES} or {NO}?",
        candidate="This one:",
        candidates="I think of giving my friend one of these:",
        best="Which will please my friend most? Just the letter.",
        order=f"Start with what will please my friend most and go on to the least; leave no number out. {JSON_ONLY}",
        free="What shall I give my friend? Tell me your choice and the reason.",
    ),
    "first person": Wording(
        liked="I have seen these and liked them all:",
        profile="My taste:",
        judge=f"Would I enjoy the movie below? {_PLAIN}",
        candidate="Movie:",
        candidates="Movies I could watch tonight:",
        best="Which of them would I enjoy most? One letter will do.",
        order=f"Rank them for me from the one I would enjoy most down to the last, every number once. {JSON_ONLY}",
        free="What should I watch tonight, and how does it go with what I have seen?",
    ),
    "library": Wording(
        liked="A visitor of the film library borrowed and loved:",
        judge=f"Recommend the following to the visitor? {YES} or {NO}, please.",
        candidate="Entry:",
        candidates="Entries on the shelf:",
        best="Which entry do you recommend to the visitor? Its letter, please.",
        order=f"List the entries by how warmly you recommend them to the visitor, with no number twice. {JSON_ONLY}",
        free="Which entry do you recommend to the visitor? Explain it in a sentence.",
    ),
    "match": Wording(
        liked="Known favourites:",
        profile="Summary of taste:",
        judge=f"Does the proposal match these favourites? Answer with {YES} or with {NO}.",
        candidate="Proposal:",
        candidates="Proposals:",
        best="Which proposal is the closest match? Answer with the letter in front of it.",
        order=f"Arrange the proposals by how closely they match, closest first, all numbers exactly once. {JSON_ONLY}",
        free="Which proposal is the closest match to these favourites, and in what way?",
    ),
    "digits explained": Wording(
        liked="Somebody's favourite titles:",
        note="Two digits (0 to 9) stand behind every option: what it has in common with them in genre, then in age.",
        judge=f"Is this option worth recommending? {_PLAIN}",
        candidate="Option:",
        candidates="Options:",
        best="Which option is most worth recommending? Name its letter.",
        order=f"From most to least worth recommending: order the options, each number one time. {JSON_ONLY}",
        free="Which option is most worth recommending? Give a short reason.",
    ),
    "instruction": Wording(
        liked="Here is what the customer watched with pleasure:",
        note="Behind each suggestion: a digit for shared genres and a digit for a shared decade, nine at most.",
        judge=f"Decide whether the customer will be pleased with this suggestion. Write {YES} or {NO}.",
        candidate="Suggestion:",
        candidates="Here are the suggestions:",
        best="Decide which suggestion will please the customer best. Write its letter.",
        order=f"Decide on an order of the suggestions, the most pleasing at the front, none missing. {JSON_ONLY}",
        free="Decide which suggestion to make to the customer and write down the reason.",
    ),
    "terse": Wording(
        liked="Liked:",
        judge=f"Good pick? {YES}/{NO}",
        candidate="Pick:",
        candidates="Picks:",
        best="Best pick? Letter only.",
        order=f"Best to worst, all numbers. {JSON_ONLY}",
        free="Best pick, and the reason?",
    ),
    "polite": Wording(
        liked="Below you find the movies that one of our guests was very happy with:",
        profile="What stands out among them:",
        judge=f"Could you kindly tell us if our guest would be happy with the movie that follows? A {YES} or a {NO} "
        "is all we need.",
        candidate="Movie in question:",
        candidates="We could offer our guest:",
        best="Could you kindly tell us the letter of the movie that would make our guest happiest?",
        order="Could you kindly bring all of these into an order, beginning with the movie that would make our guest "
        f"happiest? {JSON_ONLY}",
        free="Could you kindly tell us which of these our guest would be happiest with, and your reasons?",
    ),
}
"""By name. Every sentence of the question differs from the served one; in some the note on the digits does too."""
