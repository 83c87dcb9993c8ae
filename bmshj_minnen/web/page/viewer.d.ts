/** The class that the script of `evaluation/page/viewer.js` defines. */
declare class Viewer {
  /** Columns and rows of the pictures. */
  size: number[];
  fit(width: number, height: number): void;
  setSide(index: number, source: { picture: string; original: string; bits: string }, show: string): void;
  place(): void;
}
