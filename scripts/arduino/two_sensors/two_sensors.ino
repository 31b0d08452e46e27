/* Two sensors for kei: temperature from a TMP36 on A0, brightness from an LDR on A1.

   Sends a line for each of them every ten seconds:  UnitID,SensorID,Value,DataID

   Wiring (5 V board such as an Uno or Nano; see docs/sensors.md of kei):
     TMP36: left leg (flat side towards you) to 5V, middle to A0, right to GND
     LDR:   from 5V to A1, and 10 kOhm from A1 to GND
*/

const char UNIT[] = "A1";             // of this board; give each board its own
const unsigned long INTERVAL_MS = 10000;
const float SUPPLY_MV = 5000.0;       // 3300.0 for a 3.3 V board
const int FULL_SCALE = 1023;          // analogRead() has 10 bits
const int SAMPLES = 16;               // averaged, as one sample wavers
const byte DATA_IDS = 101;            // 0 to 100: tells a new line from a radio repeat

byte dataId = 0;
unsigned long last = 0;

float average(int pin) {
  long sum = 0;
  analogRead(pin);                    // the first one after changing the pin is off
  for (int i = 0; i < SAMPLES; i++) {
    sum += analogRead(pin);
  }
  return float(sum) / SAMPLES;
}

void send(const char *sensor, float value, int decimals) {
  Serial.print(UNIT);
  Serial.print(',');
  Serial.print(sensor);
  Serial.print(',');
  Serial.print(value, decimals);
  Serial.print(',');
  Serial.println(dataId);
  dataId = (dataId + 1) % DATA_IDS;
}

void measure() {
  float millivolts = average(A0) * SUPPLY_MV / FULL_SCALE;
  send("T1", (millivolts - 500.0) / 10.0, 1);          // TMP36: 10 mV a degree, 500 mV at 0 C
  send("L1", average(A1) * 100.0 / FULL_SCALE, 1);     // % of full scale
}

void setup() {
  Serial.begin(9600);
  measure();
}

void loop() {
  if (millis() - last >= INTERVAL_MS) {                // right also when millis() begins anew
    last += INTERVAL_MS;
    measure();
  }
}
