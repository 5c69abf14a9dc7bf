/* numbers on axes, and the scales of axes */
const text = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return value.toLocaleString("en-US", { maximumSignificantDigits: 5 });
};
/* returns where values are drawn between two places, and the ticks; room is left around them as a share of
   their range, and the axis of sizes begins at 0 where that shows more than their lowest value does */
const scale = (values, log, low, high, room = 0) => {
  let least = Infinity, most = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least === Infinity) [least, most] = log ? [1, 10] : [0, 1];
  if (log) [least, most] = [Math.log10(least), Math.log10(most)];
  if (most - least < 1e-12 * Math.max(1, Math.abs(most))) {
    const half = log ? 0.5 : Math.abs(most) * 0.1 || 0.5;
    [least, most] = [least - half, most + half];
  }
  const fromZero = room > 0 && !log && least >= 0 && least < 0.5 * most;
  const margin = room * (most - least);
  [least, most] = [fromZero ? 0 : least - margin, most + margin];
  const at = (value) => low + ((log ? Math.log10(value) : value) - least) / (most - least) * (high - low);
  return { at, ticks: log ? logTicks(least, most) : evenTicks(least, most) };
};
const evenTicks = (least, most) => {
  const rough = (most - least) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let i = Math.ceil(least / step - 1e-9); i * step <= most + 1e-9 * step; i++) ticks.push(i * step);
  return ticks;
};
const logTicks = (least, most) => {
  const every = Math.max(1, Math.ceil((most - least) / 7));
  const ticks = [];
  for (let i = Math.ceil(least - 1e-9); i <= most + 1e-9; i += every) ticks.push(10 ** i);
  if (most - least < 2.2) {
    ticks.length = 0;
    for (let i = Math.floor(least); i <= most; i++) ticks.push(...[1, 2, 5].map((m) => m * 10 ** i));
    const shown = ticks.filter((tick) => Math.log10(tick) > least - 1e-9 && Math.log10(tick) < most + 1e-9);
    if (shown.length >= 2) return shown;
    ticks.length = 0;
  }
  if (ticks.length >= 2) return ticks;
  return evenTicks(10 ** least, 10 ** most).filter((tick) => tick > 0);
};
