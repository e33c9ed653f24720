// Records that could not be read, with the reason and the bytes.

import { type Component, For, Show, createMemo, createSignal } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { DeadLetter, DeadLetters } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Icon } from "../parts/icon";
import { Card, PageHead } from "../parts/page";
import { PayloadBlock, PayloadLine } from "../parts/payload";

const idOf = (letter: DeadLetter): string => `${letter.pipeline}/${letter.source}/${letter.partition}:${letter.offset}`;

export const DeadLettersPage: Component = () => {
  const letters = createPoll<DeadLetters>(() => "/api/dead-letters?limit=100", { key: null, everyMs: 2000 });
  const [source, setSource] = createSignal<string>();
  const [open, setOpen] = createSignal<string>();
  const known = new Map<string, DeadLetter>();
  const shown = createMemo(() => {
    const wanted = (letters.data()?.newest ?? []).filter((letter) => source() === undefined || letter.source === source());
    const next = wanted.map((letter) => known.get(idOf(letter)) ?? { ...letter });
    known.clear();
    next.forEach((letter) => known.set(idOf(letter), letter));
    return next;
  });
  const toggle = (id: string) => setOpen(open() === id ? undefined : id);
  return (
    <>
      <PageHead title="Dead letters" sub={<Show when={letters.data()}>{(data) => format.count(data().total)}</Show>} />
      <Loaded from={letters}>
        {(data) => (
          <Show when={data().total > 0} fallback={<NoLetters />}>
            <div class="stack">
              <div class="hints" role="group" aria-label="Source">
                <button type="button" class="chip" aria-pressed={source() === undefined} onClick={() => setSource(undefined)}>
                  All <strong>{format.count(data().total)}</strong>
                </button>
                <For each={data().counts}>
                  {(count) => (
                    <button type="button" class="chip" aria-pressed={source() === count.source} onClick={() => setSource(count.source)}>
                      {count.source} <strong>{format.count(count.total)}</strong>
                    </button>
                  )}
                </For>
              </div>
              <Card title="Newest">
                <Show when={shown().length > 0} fallback={<p class="card-note">None of the newest come from this source.</p>}>
                  <div class="records" role="list">
                    <For each={shown()}>{(letter) => <Letter letter={letter} open={open() === idOf(letter)} toggle={() => toggle(idOf(letter))} />}</For>
                  </div>
                </Show>
              </Card>
            </div>
          </Show>
        )}
      </Loaded>
    </>
  );
};

const NoLetters: Component = () => (
  <Empty
    title="No dead letters"
    text="A record that a source cannot read (not JSON, a wrong type, a null value) never stops a pipeline: it lands here, with the reason and its bytes."
  />
);

const Letter: Component<{ letter: DeadLetter; open: boolean; toggle: () => void }> = (props) => (
  <div role="listitem" class="record letter" classList={{ open: props.open }}>
    <button type="button" class="record-line" aria-expanded={props.open} onClick={() => props.toggle()}>
      <Icon name="chevron" />
      <span class="record-time">{format.ago(props.letter.at_ms, now())}</span>
      <span class="record-place">
        {props.letter.topic} {props.letter.partition}:{props.letter.offset}
      </span>
      <span class="letter-reason">{props.letter.reason}</span>
      <span class="record-value">
        <PayloadLine payload={props.letter.value} none="null value" />
      </span>
    </button>
    <Show when={props.open}>
      <div class="record-open">
        <p class="quiet">
          source {props.letter.source} of pipeline {props.letter.pipeline}; topic{" "}
          <a href={`/topics/${encodeURIComponent(props.letter.topic)}`}>{props.letter.topic}</a>, partition {props.letter.partition}, offset{" "}
          {format.whole(props.letter.offset)}
        </p>
        <p class="error-text">{props.letter.reason}</p>
        <PayloadBlock title="Key" payload={props.letter.key} none="no key" />
        <PayloadBlock title="Value" payload={props.letter.value} none="null value" />
      </div>
    </Show>
  </div>
);
