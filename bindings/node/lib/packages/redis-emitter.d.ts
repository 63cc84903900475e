export { Emitter } from "../../index";
