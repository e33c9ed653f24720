// A layered layout of a directed acyclic graph, left to right: layers by longest path, fewer crossings by sweeps of
// barycentres, long edges through places of their own so that they do not run under nodes.

export interface LayoutNode {
  id: string;
  inputs: string[];
}

export interface Placed {
  id: string;
  x: number;
  y: number;
}

export interface Edge {
  from: string;
  to: string;
  /** An SVG path. */
  path: string;
}

export interface Layout {
  nodes: Map<string, Placed>;
  edges: Edge[];
  width: number;
  height: number;
}

export const NODE_WIDTH = 188;
export const NODE_HEIGHT = 60;
const GAP_X = 64;
const GAP_Y = 20;
const BEND_HEIGHT = 8;
const SWEEPS = 24;

/** A node, or a place where a long edge crosses a layer. */
interface Place {
  id: string;
  layer: number;
  height: number;
  y: number;
  before: Place[];
  after: Place[];
}

interface Route {
  from: string;
  to: string;
  places: Place[];
}

export function layout(nodes: LayoutNode[]): Layout {
  const places = new Map(nodes.map((node) => [node.id, newPlace(node.id, NODE_HEIGHT)]));
  setLayers(nodes, places);
  const layers: Place[][] = [];
  for (const node of nodes) {
    const place = places.get(node.id);
    if (place) (layers[place.layer] ??= []).push(place);
  }
  const routes = nodes.flatMap((node) => node.inputs.flatMap((input) => route(places.get(input), places.get(node.id), layers)));
  reorder(layers);
  const height = spread(layers);
  return {
    nodes: new Map([...places.values()].map((place) => [place.id, { id: place.id, x: left(place.layer), y: place.y }])),
    edges: routes.map((r) => ({ from: r.from, to: r.to, path: curve(r.places) })),
    width: left(layers.length) - GAP_X,
    height,
  };
}

const newPlace = (id: string, height: number): Place => ({ id, layer: 0, height, y: 0, before: [], after: [] });
const left = (layer: number): number => layer * (NODE_WIDTH + GAP_X);
const middle = (place: Place): number => place.y + place.height / 2;

/** Inputs come before their users, so one pass is enough; what comes in another order is put right by further ones. */
function setLayers(nodes: LayoutNode[], places: Map<string, Place>): void {
  for (let pass = 0, moved = true; moved && pass < nodes.length; pass += 1) {
    moved = false;
    for (const node of nodes) {
      const place = places.get(node.id);
      const layer = Math.max(0, ...node.inputs.map((input) => (places.get(input)?.layer ?? -1) + 1));
      if (!place || place.layer === layer) continue;
      place.layer = layer;
      moved = true;
    }
  }
  pullSources(nodes, places);
}

/** A source sits right before its first user, which shortens edges. */
function pullSources(nodes: LayoutNode[], places: Map<string, Place>): void {
  for (const node of nodes.filter((node) => node.inputs.length === 0)) {
    const users = nodes.filter((user) => user.inputs.includes(node.id)).map((user) => places.get(user.id)?.layer ?? 1);
    const place = places.get(node.id);
    if (place && users.length > 0) place.layer = Math.max(0, Math.min(...users) - 1);
  }
}

function route(from: Place | undefined, to: Place | undefined, layers: Place[][]): Route[] {
  if (!from || !to || from.layer >= to.layer) return [];
  const places = [from];
  for (let layer = from.layer + 1; layer < to.layer; layer += 1) {
    const bend = newPlace(`${from.id}>${to.id}@${layer}`, BEND_HEIGHT);
    bend.layer = layer;
    (layers[layer] ??= []).push(bend);
    places.push(bend);
  }
  places.push(to);
  for (let n = 1; n < places.length; n += 1) {
    const [a, b] = [places[n - 1], places[n]];
    if (a && b) {
      a.after.push(b);
      b.before.push(a);
    }
  }
  return [{ from: from.id, to: to.id, places }];
}

function reorder(layers: Place[][]): void {
  let best = layers.map((layer) => [...layer]);
  let fewest = crossings(layers);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) sortByNeighbours(layer, layers, down);
    const now = crossings(layers);
    if (now < fewest) {
      fewest = now;
      best = layers.map((layer) => [...layer]);
    }
  }
  best.forEach((layer, n) => (layers[n] = layer));
}

function sortByNeighbours(layer: Place[], layers: Place[][], down: boolean): void {
  const at = new Map<Place, number>();
  layers.forEach((other) => other.forEach((place, n) => at.set(place, n)));
  const weight = (place: Place): number => {
    const near = down ? place.before : place.after;
    return near.length === 0 ? (at.get(place) ?? 0) : near.reduce((sum, other) => sum + (at.get(other) ?? 0), 0) / near.length;
  };
  const weights = new Map(layer.map((place) => [place, weight(place)]));
  layer.sort((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0));
}

function crossings(layers: Place[][]): number {
  let count = 0;
  for (let n = 0; n + 1 < layers.length; n += 1) {
    const at = new Map((layers[n + 1] ?? []).map((place, m) => [place, m]));
    const ends = (layers[n] ?? []).flatMap((place) => place.after.map((other) => at.get(other) ?? 0).sort((a, b) => a - b));
    for (let i = 0; i < ends.length; i += 1) for (let j = i + 1; j < ends.length; j += 1) if ((ends[i] ?? 0) > (ends[j] ?? 0)) count += 1;
  }
  return count;
}

/** Gives heights: first stacked, then each drawn to the middle of its neighbours as far as there is room. */
function spread(layers: Place[][]): number {
  for (const layer of layers) stack(layer);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const layer of forward ? layers : [...layers].reverse()) align(layer, forward);
  }
  const all = layers.flat();
  const top = Math.min(0, ...all.map((place) => place.y), Number.POSITIVE_INFINITY);
  const highest = all.length > 0 ? Math.min(...all.map((place) => place.y)) : top;
  for (const place of all) place.y -= highest;
  return Math.max(NODE_HEIGHT, ...all.map((place) => place.y + place.height));
}

function stack(layer: Place[]): void {
  let y = 0;
  for (const place of layer) {
    place.y = y;
    y += place.height + GAP_Y;
  }
}

function align(layer: Place[], forward: boolean): void {
  const wish = layer.map((place) => {
    const near = forward ? place.before : place.after;
    return near.length === 0 ? place.y : near.reduce((sum, other) => sum + middle(other), 0) / near.length - place.height / 2;
  });
  // Down without overlap, up without overlap, and the middle of the two: both keep the distances, so their mean does.
  const down = pushed(layer, wish);
  const up = pushed([...layer].reverse(), [...wish].reverse().map((y, n) => -y - (layer[layer.length - 1 - n]?.height ?? 0)));
  layer.forEach((place, n) => {
    const upper = -(up[layer.length - 1 - n] ?? 0) - place.height;
    place.y = ((down[n] ?? 0) + upper) / 2;
  });
}

function pushed(layer: Place[], wish: number[]): number[] {
  let free = Number.NEGATIVE_INFINITY;
  return layer.map((place, n) => {
    const y = Math.max(wish[n] ?? 0, free);
    free = y + place.height + GAP_Y;
    return y;
  });
}

function curve(places: Place[]): string {
  return places
    .slice(1)
    .map((to, n) => {
      const from = places[n] as Place;
      const bend = from.height === BEND_HEIGHT;
      const [x1, y1, x2, y2] = [left(from.layer) + NODE_WIDTH, middle(from), left(to.layer), middle(to)];
      const half = (x2 - x1) / 2;
      const start = n === 0 ? `M${x1} ${y1}` : bend ? `L${x1} ${y1}` : "";
      return `${start} C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`;
    })
    .join(" ");
}
